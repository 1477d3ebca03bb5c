; A boot sector that stands for an operating system: says on COM1 who started it, and stops.
;
;   BOOTED nonce DL=80 ENTRY=fftt START=llllllll
;
; with the flag and type of the entry at DS:SI, and where that entry says the partition begins (all hexadecimal).

        bits 16
        cpu 386
        org 0x7C00

COM1    equ 0x3F8

        jmp start
        times 3 - ($ - $$) db 0x90
nonce:  db "--------", 0        ; the test writes eight characters here

start:
        cld
        mov di, nonce
        mov bp, si
        push dx
        mov si, text_booted
        call print
        mov si, nonce
        call print
        mov si, text_drive
        call print
        pop ax
        call print_byte
        mov si, text_entry
        call print
        mov al, [bp]
        call print_byte
        mov al, [bp + 4]
        call print_byte
        mov si, text_start
        call print
        mov al, [bp + 11]
        call print_byte
        mov al, [bp + 10]
        call print_byte
        mov al, [bp + 9]
        call print_byte
        mov al, [bp + 8]
        call print_byte
        mov si, text_end
        call print
stop:
        hlt
        jmp stop

print:                          ; the text at SI
        lodsb
        test al, al
        jz printed
        call send
        jmp print
printed:
        ret

print_byte:                     ; AL in hexadecimal
        push ax
        shr al, 4
        call print_digit
        pop ax
        and al, 15
print_digit:
        cmp al, 10
        sbb al, 0x69
        das
send:                           ; AL to COM1
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

text_booted:    db "BOOTED ", 0
text_drive:     db " DL=", 0
text_entry:     db " ENTRY=", 0
text_start:     db " START=", 0
text_end:       db 13, 10, 0

        times 510 - ($ - $$) db 0
        dw 0xAA55
