; Boot code of a GPT disk for BIOS firmware: starts the partition with the legacy-boot attribute.
;
; It lies in the protective MBR. The partition's first sector is loaded at 0000:7C00 and started as an MBR would do it, with
; DL = drive and DS:SI = a made-up MBR entry. Behind that entry stands the GPT entry, and EAX = "!GPT" says so (the hand-over
; that syslinux calls the GPT handoff).
;
;   0600  this sector, made-up entry at 07BE     7C00  GPT header, entries; then the partition's boot sector
;
; Disks with sectors of 512 bytes; the firmware must have INT 13h extensions. Needs a 386.
;
; nasm -f bin gptmbr.asm -o gptmbr.bin       at most 440 bytes: the disk signature follows

        bits 16
        cpu 386
        org 0x0600

HANDED_OVER     equ 0x07BE
LOADED          equ 0x7C00
SECTOR          equ 512
SIGNATURE       equ 0xAA55
LEGACY_BOOT     equ 0x04        ; bit 2 of the first attribute byte

; Fields of the GPT header and of its entries (UEFI 2.10, tables 5.5 and 5.6)
H_ARRAY_LBA     equ 72
H_COUNT         equ 80
H_ENTRY_SIZE    equ 84
E_TYPE          equ 0
E_FIRST         equ 32
E_LAST          equ 40
E_ATTRIBUTES    equ 48
E_SIZE          equ 128

start:
        cli
        xor ax, ax
        mov ss, ax
        mov sp, LOADED
        mov ds, ax
        mov es, ax
        sti
        cld
        mov si, LOADED
        mov di, start
        mov cx, 256
        rep movsw
        jmp 0:moved

moved:
        test dl, dl             ; some firmware gives no drive: it means the first one
        js drive_known
        mov dl, 0x80
drive_known:
        xor edi, edi
        lea eax, [edi + 1]      ; the header, at sector EDI:EAX = 1
        call read
        cmp dword [LOADED], 'EFI '
        jne no_active
        cmp dword [LOADED + 4], 'PART'
        jne no_active
        mov eax, [LOADED + H_ARRAY_LBA]
        mov edi, [LOADED + H_ARRAY_LBA + 4]
        mov ecx, [LOADED + H_COUNT]
        mov ebp, [LOADED + H_ENTRY_SIZE]

next_sector:
        call read
        xor ebx, ebx            ; offset of the entry in the sector
next_entry:
        jecxz no_active
        dec ecx
        lea si, [bx + LOADED]
        cmp dword [si + E_TYPE], 0
        je unused
        test byte [si + E_ATTRIBUTES], LEGACY_BOOT
        jnz found
unused:
        add ebx, ebp
        cmp ebx, SECTOR
        jb next_entry
        shr ebx, 9
        jz no_active            ; an entry size of 0: damaged
        add eax, ebx
        adc edi, 0
        jmp next_sector

no_active:
        mov si, text_no_active
        jmp fail

found:                          ; the GPT entry at SI
        mov di, HANDED_OVER
        mov eax, 0xFFFFFE80     ; active; CHS out of reach
        stosd
        mov eax, 0xFFFFFEED     ; type ED: "a GPT entry follows"; CHS out of reach
        stosd
        mov eax, [si + E_FIRST]
        stosd
        mov eax, [si + E_LAST]
        sub eax, [si + E_FIRST]
        inc eax
        stosd
        mov eax, E_SIZE
        stosd
        push si
        mov cx, E_SIZE / 2
        rep movsw
        pop si
        mov eax, [si + E_FIRST]
        mov edi, [si + E_FIRST + 4]
        call read
        cmp word [LOADED + 510], SIGNATURE
        jne no_system
        cmp word [LOADED], 0    ; a boot sector begins with a jump
        je no_system
        mov si, HANDED_OVER
        mov bp, si
        mov eax, '!GPT'
        jmp 0:LOADED
no_system:
        mov si, text_no_system

fail:                           ; print the text at SI and stop
        lodsb
        test al, al
        jz halt
        mov ah, 0x0E
        mov bx, 7
        int 0x10
        jmp fail
halt:
        hlt
        jmp halt

; Read sector EDI:EAX of drive DL to 0000:7C00. Keeps all registers; does not come back after an error.
read:
        pushad
        mov bp, 3               ; attempts
        mov bx, sp
attempt:
        push dword [bx]         ; the disk address packet, from its end: EDI as PUSHAD left it
        push dword [bx + 28]    ; EAX
        push word 0
        push word LOADED
        push word 1
        push word 16
        mov si, sp
        mov dl, [bx + 20]
        mov ah, 0x42
        int 0x13
        mov sp, bx
        jnc read_well
        xor ah, ah              ; reset, and once more
        mov dl, [bx + 20]
        int 0x13
        dec bp
        jnz attempt
        mov si, text_read_error
        jmp fail
read_well:
        popad
        ret

text_no_active:         db "No active partition", 0
text_read_error:        db "Read error", 0
text_no_system:         db "No operating system", 0

        times 440 - ($ - $$) db 0       ; nasm refuses a negative count: the code is too large then
