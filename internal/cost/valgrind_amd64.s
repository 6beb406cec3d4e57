#include "textflag.h"

// The instructions that valgrind takes for a request, and that leave every
// register as it was on a real processor: rotations of DI by 128 bits in all,
// and an exchange of BX with itself (valgrind.h, __SPECIAL_INSTRUCTION_PREAMBLE).
//
// func request(args *[6]uintptr)
TEXT ·request(SB), NOSPLIT, $0-8
	MOVQ args+0(FP), AX
	XORL DX, DX
	BYTE $0x48; BYTE $0xc1; BYTE $0xc7; BYTE $0x03 // rolq $3, %rdi
	BYTE $0x48; BYTE $0xc1; BYTE $0xc7; BYTE $0x0d // rolq $13, %rdi
	BYTE $0x48; BYTE $0xc1; BYTE $0xc7; BYTE $0x3d // rolq $61, %rdi
	BYTE $0x48; BYTE $0xc1; BYTE $0xc7; BYTE $0x33 // rolq $51, %rdi
	BYTE $0x48; BYTE $0x87; BYTE $0xdb             // xchgq %rbx, %rbx
	RET
