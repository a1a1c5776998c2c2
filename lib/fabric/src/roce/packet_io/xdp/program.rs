//! The program that decides, for each frame that a network interface receives, whether it is for an AF_XDP socket.
//!
//! It takes whole packets of RoCE for one address, except those for the connection manager's queue pair. Everything else,
//! also what has a VLAN tag or IP options, and datagrams longer than any packet (merged ones), goes on to the kernel and
//! from there to the UDP sockets.
//!
//! Instructions are eBPF's (RFC 9669).

use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::roce::packet_io::DATAGRAM_MAX;
use crate::roce::wire::{BTH_LEN, GSI_QP, UDP_PORT};

/// An instruction as the kernel reads it.
pub type Instruction = [u8; 8];

/// What a program returns to let the kernel have the frame (linux/bpf.h, `enum xdp_action`).
const XDP_PASS: i32 = 2;
/// Number of the helper function that gives a frame to the socket of a map.
const REDIRECT_MAP: i32 = 51;

/// Where the context of a program (`struct xdp_md`) has the first byte of the frame, the end, and the receive queue.
const CONTEXT_DATA: i16 = 0;
const CONTEXT_END: i16 = 4;
const CONTEXT_QUEUE: i16 = 16;

const ETHERNET_LEN: i16 = 14;
const UDP_LEN: i16 = 8;

// Registers and what they hold here.
const RESULT: u8 = 0;
const ARGUMENT_1: u8 = 1; // at the start: the context
const ARGUMENT_2: u8 = 2;
const ARGUMENT_3: u8 = 3;
const VALUE: u8 = 4;
const CONTEXT: u8 = 6;
const FRAME: u8 = 7;
const END: u8 = 8;

/// The program for one address; `sockets` is the map of sockets by receive queue.
pub fn program(address: IpAddr, sockets: BorrowedFd<'_>) -> Vec<Instruction> {
    let mut code = Assembler::default();
    code.copy(CONTEXT, ARGUMENT_1);
    code.load(4, FRAME, CONTEXT, CONTEXT_DATA);
    code.load(4, END, CONTEXT, CONTEXT_END);
    let udp_at = match address {
        IpAddr::V4(_) => ETHERNET_LEN + 20,
        IpAddr::V6(_) => ETHERNET_LEN + 40,
    };
    code.pass_if_shorter_than(udp_at + UDP_LEN + BTH_LEN as i16);
    match address {
        IpAddr::V4(address) => {
            code.pass_unless_equal(12, &0x0800u16.to_be_bytes());
            code.pass_unless_equal(ETHERNET_LEN, &[0x45]); // version; no options
            code.pass_if_any_bit(ETHERNET_LEN + 6, 0x3fff); // a fragment
            code.pass_unless_equal(ETHERNET_LEN + 9, &[17]);
            code.pass_unless_equal(ETHERNET_LEN + 16, &address.octets());
        }
        IpAddr::V6(address) => {
            code.pass_unless_equal(12, &0x86ddu16.to_be_bytes());
            code.pass_unless_equal(ETHERNET_LEN + 6, &[17]);
            for (at, word) in (ETHERNET_LEN + 24..).step_by(4).zip(address.octets().chunks_exact(4)) {
                code.pass_unless_equal(at, word);
            }
        }
    }
    code.pass_unless_equal(udp_at + 2, &UDP_PORT.to_be_bytes());
    code.pass_if_above(udp_at + 4, UDP_LEN as i32 + DATAGRAM_MAX as i32);
    code.pass_if_queue_pair(udp_at + UDP_LEN + 4, GSI_QP);
    code.load(4, ARGUMENT_2, CONTEXT, CONTEXT_QUEUE);
    code.load_map(ARGUMENT_1, sockets);
    code.set(ARGUMENT_3, XDP_PASS); // if that queue has no socket
    code.call(REDIRECT_MAP);
    code.exit();
    code.finish()
}

/// Instructions, and the jumps to the end among them, where the frame is passed on.
#[derive(Default)]
struct Assembler {
    code: Vec<Instruction>,
    jumps_to_pass: Vec<usize>,
}

// Classes, sizes, sources and operations of instructions (RFC 9669, sections 3 to 5).
const LD_IMM64: u8 = 0x18;
const LDX: u8 = 0x61; // 4 bytes from memory
const LDX_2: u8 = 0x69;
const LDX_1: u8 = 0x71;
const JMP: u8 = 0x05;
const JMP32: u8 = 0x06;
const ALU64: u8 = 0x07;
const ALU32: u8 = 0x04;
const FROM_REGISTER: u8 = 0x08;
const ADD: u8 = 0x00;
const AND: u8 = 0x50;
const MOV: u8 = 0xb0;
const TO_BIG_ENDIAN: u8 = 0xdc;
const JEQ: u8 = 0x10;
const JGT: u8 = 0x20;
const JNE: u8 = 0x50;
const JSET: u8 = 0x40;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
/// Source "register" of [`LD_IMM64`]: the number is a map's file descriptor.
const MAP_FD: u8 = 1;

impl Assembler {
    fn push(&mut self, operation: u8, destination: u8, source: u8, offset: i16, immediate: i32) {
        let [low, high] = offset.to_ne_bytes();
        let [a, b, c, d] = immediate.to_ne_bytes();
        let registers =
            if cfg!(target_endian = "little") { source << 4 | destination } else { destination << 4 | source };
        self.code.push([operation, registers, low, high, a, b, c, d]);
    }

    fn copy(&mut self, to: u8, from: u8) {
        self.push(ALU64 | MOV | FROM_REGISTER, to, from, 0, 0);
    }

    fn set(&mut self, register: u8, value: i32) {
        self.push(ALU64 | MOV, register, 0, 0, value);
    }

    /// Loads 1, 2 or 4 bytes as they stand in memory.
    fn load(&mut self, len: usize, to: u8, base: u8, offset: i16) {
        let operation = match len {
            1 => LDX_1,
            2 => LDX_2,
            4 => LDX,
            _ => panic!("no load of {len} bytes"),
        };
        self.push(operation, to, base, offset, 0);
    }

    fn load_map(&mut self, to: u8, map: BorrowedFd<'_>) {
        self.push(LD_IMM64, to, MAP_FD, 0, map.as_raw_fd());
        self.push(0, 0, 0, 0, 0); // its second half
    }

    fn pass_if_shorter_than(&mut self, len: i16) {
        self.copy(VALUE, FRAME);
        self.push(ALU64 | ADD, VALUE, 0, 0, len.into());
        self.pass_if(JMP | JGT | FROM_REGISTER, VALUE, END, 0);
    }

    /// Bytes of the frame, as they stand there.
    fn pass_unless_equal(&mut self, at: i16, bytes: &[u8]) {
        self.load(bytes.len(), VALUE, FRAME, at);
        let expected = match *bytes {
            [a] => a.into(),
            [a, b] => u16::from_ne_bytes([a, b]).into(),
            [a, b, c, d] => i32::from_ne_bytes([a, b, c, d]),
            _ => panic!("no comparison of {} bytes", bytes.len()),
        };
        self.pass_if(JMP32 | JNE, VALUE, 0, expected);
    }

    fn pass_if_any_bit(&mut self, at: i16, bits: u16) {
        self.load(2, VALUE, FRAME, at);
        self.pass_if(JMP32 | JSET, VALUE, 0, bits.to_be().into());
    }

    /// A number of 16 bits.
    fn pass_if_above(&mut self, at: i16, limit: i32) {
        self.load(2, VALUE, FRAME, at);
        self.push(TO_BIG_ENDIAN, VALUE, 0, 0, 16);
        self.pass_if(JMP32 | JGT, VALUE, 0, limit);
    }

    /// The low 24 bits of a word.
    fn pass_if_queue_pair(&mut self, at: i16, number: u32) {
        self.load(4, VALUE, FRAME, at);
        self.push(ALU32 | AND, VALUE, 0, 0, 0xff_ffffu32.to_be() as i32);
        self.pass_if(JMP32 | JEQ, VALUE, 0, number.to_be() as i32);
    }

    fn pass_if(&mut self, condition: u8, left: u8, right: u8, immediate: i32) {
        self.jumps_to_pass.push(self.code.len());
        self.push(condition, left, right, 0, immediate);
    }

    fn call(&mut self, function: i32) {
        self.push(CALL, 0, 0, 0, function);
    }

    fn exit(&mut self) {
        self.push(EXIT, 0, 0, 0, 0);
    }

    /// Adds the end that passes frames on, and gives the jumps their distance to it.
    fn finish(mut self) -> Vec<Instruction> {
        let end = self.code.len();
        for &jump in &self.jumps_to_pass {
            let distance = (end - jump - 1) as i16;
            self.code[jump][2..4].copy_from_slice(&distance.to_ne_bytes());
        }
        self.set(RESULT, XDP_PASS);
        self.exit();
        self.code
    }
}
