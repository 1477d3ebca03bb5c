; From Linux on x86-64 to a program that expects a BIOS: where kexec jumps to, in long mode with all memory mapped one to one.
;
; Leaves long mode and protected mode, gives interrupt controllers, timer and screen back to the BIOS, and starts the real-mode part
; of a bzImage (memdisk) as its boot protocol wants: at SETUP + 20h, with DS = ES = SS = SETUP and a stack below its command line.
;
;   8000  this; the stack on the way ends at 9000         10000  the real-mode part (SETUP = 1000h)
;
; Sources: Intel SDM volume 3A, 9.8.5.4 and 9.9.2 (switching modes); 8259A and 8254 data sheets; Linux Documentation/arch/x86/boot.rst,
; "16-bit boot protocol". machine/workstation/real_mode.py puts it there.
;
; nasm -f bin realmode.asm -o realmode.bin

        org 0x8000

SETUP           equ 0x1000
STACK           equ 0xEFF0      ; of the program
CODE_32         equ 0x08
CODE_16         equ 0x10
DATA_16         equ 0x18
EFER            equ 0xC0000080
LONG_MODE       equ 8           ; its bit
PAGING          equ 31          ; of CR0

        bits 64
        cli
        cld
        mov esp, 0x9000
        lgdt [descriptors]
        push CODE_32
        push protected
        db 0x48                 ; with 64-bit operands
        retf

        bits 32
protected:
        mov eax, cr0
        btr eax, PAGING
        mov cr0, eax
        mov ecx, EFER
        rdmsr
        btr eax, LONG_MODE
        wrmsr
        xor eax, eax
        mov cr3, eax
        mov cr4, eax
        mov ax, DATA_16         ; segments of 64 KB, as real mode has them
        mov ds, ax
        mov es, ax
        mov fs, ax
        mov gs, ax
        mov ss, ax
        lidt [vectors]
        jmp CODE_16:still_protected

        bits 16
still_protected:
        mov eax, cr0
        btr eax, 0
        mov cr0, eax
        jmp 0:real

real:   xor ax, ax
        mov ds, ax
        mov ss, ax
        mov sp, 0x9000

        ; Interrupts 0-7 at vectors 08h, 8-15 at 70h, as a BIOS has them. Let through: timer, keyboard, diskette; clock and mouse.
        mov si, .controllers
        mov cx, (.timer - .controllers) / 2
.next:  lodsw                   ; port and value
        mov dl, al
        xor dh, dh
        mov al, ah
        out dx, al
        loop .next

        sti
        mov ax, 0x0003          ; 80 x 25 characters
        int 0x10
        cli

        mov ax, SETUP
        mov ds, ax
        mov es, ax
        mov fs, ax
        mov gs, ax
        mov ss, ax
        mov sp, STACK
        jmp SETUP + 0x20:0

.controllers:
        db 0x20, 0x11, 0xA0, 0x11, 0x21, 0x08, 0xA1, 0x70, 0x21, 0x04, 0xA1, 0x02, 0x21, 0x01, 0xA1, 0x01      ; ICW1 to ICW4
        db 0x21, 0xB8, 0xA1, 0x8E                                                                              ; masks
        db 0x43, 0x34, 0x40, 0x00, 0x40, 0x00                                                                  ; counter 0: 18.2 a second
.timer:

        align 8
table:  dq 0
        dq 0x00CF9A000000FFFF   ; code of 32 bits, 4 GB
        dq 0x00009A000000FFFF   ; code of 16 bits, 64 KB
        dq 0x000092000000FFFF   ; data, 64 KB
descriptors:
        dw descriptors - table - 1
        dq table
vectors:
        dw 0x3FF
        dd 0
