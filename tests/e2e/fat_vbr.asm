; A FAT boot sector that stands for a system: says on COM1 what its own fields are, and stops.
;
;   BOOTED HIDDEN=hhhhhhhh HEADS=hhhh          (hexadecimal, from the BIOS parameter block)

        bits 16
        cpu 386
        org 0x7C00

COM1    equ 0x3F8

        jmp short start
        nop
        times 62 - ($ - $$) db 0        ; the test keeps the BIOS parameter block of the volume

start:
        xor ax, ax
        mov ds, ax
        cld
        mov si, text_hidden
        call print
        mov al, [0x7C00 + 31]
        call print_byte
        mov al, [0x7C00 + 30]
        call print_byte
        mov al, [0x7C00 + 29]
        call print_byte
        mov al, [0x7C00 + 28]
        call print_byte
        mov si, text_heads
        call print
        mov al, [0x7C00 + 27]
        call print_byte
        mov al, [0x7C00 + 26]
        call print_byte
        mov si, text_end
        call print
stop:
        hlt
        jmp stop

print:                                  ; the text at SI
        lodsb
        test al, al
        jz printed
        call send
        jmp print
printed:
        ret

print_byte:                             ; AL in hexadecimal
        push ax
        shr al, 4
        call print_digit
        pop ax
        and al, 15
print_digit:
        cmp al, 10
        sbb al, 0x69
        das
send:                                   ; AL to COM1
        push ax
        mov dx, COM1 + 5
wait_empty:
        in al, dx
        test al, 0x20
        jz wait_empty
        pop ax
        mov dx, COM1
        out dx, al
        ret

text_hidden:    db "BOOTED HIDDEN=", 0
text_heads:     db " HEADS=", 0
text_end:       db 13, 10, 0

        times 510 - ($ - $$) db 0
        dw 0xAA55
