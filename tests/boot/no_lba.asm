; A floppy that makes the firmware look old: takes the INT 13h extensions away, then starts the hard disk.

        bits 16
        cpu 386
        org 0

HERE            equ 0x07C0
RESIDENT        equ 0x1000      ; segment, out of the way of the boot code

        jmp HERE:begin
begin:
        mov ax, cs
        mov ds, ax
        mov ax, RESIDENT
        mov es, ax
        xor si, si
        xor di, di
        mov cx, 256
        cld
        rep movsw
        jmp RESIDENT:moved
moved:
        mov ax, cs
        mov ds, ax
        xor ax, ax
        mov es, ax
        mov eax, [es:0x13 * 4]
        mov [firmware], eax
        mov word [es:0x13 * 4], hook
        mov [es:0x13 * 4 + 2], cs
        mov ax, 0x0201
        mov cx, 1
        mov dx, 0x0080
        mov bx, 0x7C00
        int 0x13
stop:   jc stop
        mov dl, 0x80
        jmp 0:0x7C00

hook:
        cmp ah, 0x41
        je refuse
        cmp ah, 0x42
        je refuse
        jmp far [cs:firmware]
refuse:
        mov ah, 1               ; "invalid function", with carry
        push bp
        mov bp, sp
        or byte [bp + 6], 1
        pop bp
        iret

firmware:       dd 0

        times 510 - ($ - $$) db 0
        dw 0xAA55
