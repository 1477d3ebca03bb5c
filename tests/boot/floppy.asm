; A floppy's boot sector that uses what a BIOS gives: says FLOPPY and the text of the second sector on COM1, once the clock has ticked.
;
; Read by INT 13h from drive 0; the clock by INT 1Ah; the screen's mode by INT 10h must be 3.

        bits 16
        cpu 386
        org 0x7C00

COM1    equ 0x3F8

start:  xor ax, ax
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov sp, 0x7C00
        sti
        mov ax, 0x0201          ; one sector
        mov bx, 0x7E00
        mov cx, 0x0002          ; of track 0, the second
        xor dx, dx              ; drive 0, head 0
        int 0x13
        jc failed
        mov ah, 0
        int 0x1A
        mov bx, dx
.wait:  mov ah, 0
        int 0x1A
        cmp dx, bx
        je .wait
        mov ah, 0x0F
        int 0x10
        cmp al, 3
        jne failed
        mov si, text
        call print
        mov si, 0x7E00
        call print
stop:   hlt
        jmp stop
failed: mov si, bad
        call print
        jmp stop

print:  lodsb
        or al, al
        jz .done
        mov ah, al
        mov dx, COM1 + 5
.full:  in al, dx
        test al, 0x20
        jz .full
        mov dx, COM1
        mov al, ah
        out dx, al
        jmp print
.done:  ret

text:   db "FLOPPY ", 0
bad:    db "FLOPPY FAILED", 13, 10, 0
        times 510 - ($ - $$) db 0
        dw 0xAA55
        db "second sector", 13, 10, 0
        times 1024 - ($ - $$) db 0
