; Boot code of an MBR disk: starts the active partition.
;
; The firmware loads sector 0 at 0000:7C00 and jumps there with the drive in DL. We move to 0000:0600, look for an entry with
; the boot flag - in the MBR first, then in the tables nested in extended partitions - load its first sector at 0000:7C00 and
; jump there with DL = drive and DS:SI (and DS:BP) = the entry.
;
;   0600  this sector, entries at 07BE           7C00  nested table, entries at 7DBE; then the partition's boot sector
;
; The entry of a logical partition is handed over as a copy at 07BE with its start counted from sector 0 of the disk.
; Sectors are read by LBA where the firmware can (INT 13h extensions), by CHS otherwise. Needs a 386.
;
; nasm -f bin mbr.asm -o mbr.bin       at most 440 bytes: the disk signature follows

        bits 16
        cpu 386
        org 0x0600

ENTRIES         equ 0x07BE
LOADED          equ 0x7C00
LOADED_ENTRIES  equ LOADED + 446
SIGNATURE       equ 0xAA55
ACTIVE          equ 0x80
MAX_TABLES      equ 64          ; a chain that loops ends here

; Registers that live through the search: EBP = sector of the table at hand, EDI = first extended partition (0: none yet),
; CX = tables left, DL = drive.

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
        xor ebp, ebp
        xor edi, edi
        mov cl, MAX_TABLES      ; CH is 0 after REP
        mov si, ENTRIES

search:                         ; the four entries at SI
        xor eax, eax            ; start of an extended entry among them
        mov bl, 4
next_entry:
        cmp byte [si], ACTIVE
        je found
        cmp byte [si + 4], 0x05
        je extended
        cmp byte [si + 4], 0x0F
        jne ordinary
extended:
        test eax, eax           ; the first one counts
        jnz ordinary
        mov eax, [si + 8]
        add eax, edi
ordinary:
        add si, 16
        dec bl
        jnz next_entry

        test eax, eax
        jz no_active
        test edi, edi
        jnz inner
        mov edi, eax
inner:
        mov ebp, eax
        call read
        cmp word [LOADED + 510], SIGNATURE
        jne no_active
        mov si, LOADED_ENTRIES
        loop search
no_active:
        mov si, text_no_active
        jmp fail

found:                          ; the entry at SI, in the table at EBP
        cmp byte [si + 4], 0
        je no_active
        mov eax, [si + 8]
        test ebp, ebp
        jz in_place
        add eax, ebp
        mov di, ENTRIES
        mov cl, 8
        rep movsw
        mov si, ENTRIES
        mov [si + 8], eax
in_place:
        call read
        cmp word [LOADED + 510], SIGNATURE
        jne no_system
        cmp word [LOADED], 0    ; a boot sector begins with a jump
        je no_system
        mov bp, si
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

; Read sector EAX of drive DL to 0000:7C00. Keeps everything but EAX; does not come back after an error.
read:
        pushad
        mov bp, 3               ; attempts
attempt:
        mov di, sp
        mov eax, [di + 28]      ; EAX as PUSHAD left it
        push dword 0            ; the disk address packet, from its end
        push eax
        push word 0
        push word LOADED
        push word 1
        push word 16
        mov si, sp
        mov ah, 0x41
        mov bx, 0x55AA
        int 0x13
        jc by_chs
        cmp bx, SIGNATURE
        jne by_chs
        test cl, 1              ; reading by packet
        jz by_chs
        mov dl, [di + 20]       ; the call may change DX
        mov ah, 0x42
        int 0x13
        jmp done

by_chs:
        mov dl, [di + 20]
        mov ah, 0x08            ; the geometry
        push di
        push es
        int 0x13
        pop es
        pop di
        jc done
        and cx, 63
        jz failed
        movzx ebx, dh
        inc bx                  ; heads
        mov eax, [di + 28]
        xor edx, edx
        movzx ecx, cx
        div ecx                 ; EAX = track, EDX = sector
        inc dx
        mov cl, dl
        xor edx, edx
        div ebx                 ; EAX = cylinder, EDX = head
        cmp eax, 1023
        ja failed
        mov ch, al
        shl ah, 6
        or cl, ah
        mov dh, dl
        mov dl, [di + 20]
        mov bx, LOADED
        mov ax, 0x0201
        int 0x13
        jmp done
failed:
        stc
done:
        mov sp, di
        jnc read_well
        xor ah, ah              ; reset, and once more
        mov dl, [di + 20]
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
