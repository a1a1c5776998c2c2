//! SRP as an initiator writes and reads it (T10 SRP r16a; immediate data: SRP2). Written from the layouts, apart from
//! [`crate::wire`] on purpose: a field misplaced there must not be misplaced here in the same way.
//!
//! Everything is big-endian but the tags, which are 8 opaque bytes. Readers panic with the reason on what a target may
//! not send: this is test code, and the panic is the test's failure.

/// Layout of SRP_LOGIN_REQ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LoginForm {
    /// 64 bytes, for the InfiniBand CM.
    InfiniBandCm,
    /// 56 bytes in another order, for RDMA/CM.
    RdmaCm,
    /// The first 48 bytes of it, as the first initiators with RDMA/CM sent it.
    EarlyRdmaCm,
}

/// SRP_LOGIN_REQ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoginRequest {
    /// Comes back in the response.
    pub tag: [u8; 8],
    /// Longest request that will be sent, in bytes.
    pub max_it_iu_len: u32,
    /// Bit 1: direct, bit 2: indirect descriptors.
    pub formats: u16,
    /// Bits 1 and 0: multi-channel action; [`IMMEDIATE`] and the solicited-event wishes.
    pub flags: u8,
    /// Where immediate data will lie in a request.
    pub immediate_offset: u16,
    /// 16 bytes.
    pub initiator_port: [u8; 16],
    /// 16 bytes.
    pub target_port: [u8; 16],
}

/// Flag in the login request and its response: immediate data are wanted, and supported.
pub const IMMEDIATE: u8 = 0x80;

impl LoginRequest {
    /// The private data of the connection request.
    pub fn encode(&self, form: LoginForm) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        match form {
            LoginForm::InfiniBandCm => {
                bytes.extend([0; 8]);
                bytes.extend(self.tag);
                bytes.extend(self.max_it_iu_len.to_be_bytes());
                bytes.extend([0; 4]);
                bytes.extend(self.formats.to_be_bytes());
                bytes.extend([self.flags, 0]);
                bytes.extend(self.immediate_offset.to_be_bytes());
                bytes.extend([0; 2]);
                bytes.extend(self.initiator_port);
                bytes.extend(self.target_port);
            }
            LoginForm::RdmaCm | LoginForm::EarlyRdmaCm => {
                bytes.extend(self.tag);
                bytes.extend(self.formats.to_be_bytes());
                bytes.extend([self.flags, 0]);
                bytes.extend(self.max_it_iu_len.to_be_bytes());
                bytes.extend(self.initiator_port);
                bytes.extend(self.target_port);
                if form == LoginForm::RdmaCm {
                    bytes.extend(self.immediate_offset.to_be_bytes());
                    bytes.extend([0; 6]);
                }
            }
        }
        bytes
    }
}

/// SRP_LOGIN_RSP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoginResponse {
    /// Initial request limit.
    pub credits: u32,
    /// The request's.
    pub tag: [u8; 8],
    /// Longest request that the target takes, in bytes.
    pub max_it_iu_len: u32,
    /// Longest message that the target sends, in bytes.
    pub max_ti_iu_len: u32,
    /// As in the request.
    pub formats: u16,
    /// Bits 1 and 0: multi-channel result; [`IMMEDIATE`].
    pub flags: u8,
}

impl LoginResponse {
    /// Reads the private data of the reply, which the CM may have padded.
    pub fn decode(bytes: &[u8]) -> LoginResponse {
        assert!(bytes.len() >= 52, "SRP_LOGIN_RSP of {} bytes", bytes.len());
        assert_eq!(bytes[0], 0xc0, "opcode of SRP_LOGIN_RSP");
        assert!(is_zero(&bytes[1..4]) && is_zero(&bytes[27..]), "reserved bytes of SRP_LOGIN_RSP are not 0");
        LoginResponse {
            credits: be32(bytes, 4),
            tag: take(bytes, 8),
            max_it_iu_len: be32(bytes, 16),
            max_ti_iu_len: be32(bytes, 20),
            formats: u16::from_be_bytes(take(bytes, 24)),
            flags: bytes[26],
        }
    }

    /// What became of other channels of the nexus: 0 there were none, 1 ended, 2 kept.
    pub fn multi_channel_result(&self) -> u8 {
        self.flags & 3
    }
}

/// SRP_LOGIN_REJ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoginRefusal {
    /// Why: 0x00010000 and up.
    pub reason: u32,
    /// The request's.
    pub tag: [u8; 8],
    /// Formats that the target supports.
    pub formats: u16,
}

impl LoginRefusal {
    /// Reads the private data of the refusal, which the CM may have padded.
    pub fn decode(bytes: &[u8]) -> LoginRefusal {
        assert!(bytes.len() >= 32, "SRP_LOGIN_REJ of {} bytes", bytes.len());
        assert_eq!(bytes[0], 0xc2, "opcode of SRP_LOGIN_REJ");
        let reserved = [&bytes[1..4], &bytes[16..24], &bytes[26..]];
        assert!(reserved.iter().all(|bytes| is_zero(bytes)), "reserved bytes of SRP_LOGIN_REJ are not 0");
        LoginRefusal { reason: be32(bytes, 4), tag: take(bytes, 8), formats: u16::from_be_bytes(take(bytes, 24)) }
    }
}

/// A direct data buffer descriptor: one piece of memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Descriptor {
    /// First address.
    pub addr: u64,
    /// Key.
    pub rkey: u32,
    /// Length in bytes.
    pub len: u32,
}

impl Descriptor {
    /// 16 bytes.
    pub fn encode(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.addr.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.rkey.to_be_bytes());
        bytes[12..].copy_from_slice(&self.len.to_be_bytes());
        bytes
    }
}

/// The data buffer of a command, one direction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Buffer {
    /// Format 0.
    None,
    /// Format 1.
    Direct(Descriptor),
    /// Format 2.
    Indirect {
        /// Where the whole table lies in the initiator's memory.
        table: Descriptor,
        /// Length of the data in bytes.
        len: u32,
        /// The part of the table that travels with the command, from its first entry on.
        inline: Vec<Descriptor>,
    },
    /// Format 3: the data themselves.
    Immediate(Vec<u8>),
}

impl Buffer {
    fn format(&self) -> u8 {
        match self {
            Buffer::None => 0,
            Buffer::Direct(_) => 1,
            Buffer::Indirect { .. } => 2,
            Buffer::Immediate(_) => 3,
        }
    }

    fn count(&self) -> u8 {
        match self {
            Buffer::Indirect { inline, .. } => u8::try_from(inline.len()).expect("at most 255 descriptors in an IU"),
            _ => 0,
        }
    }

    fn encode(&self, bytes: &mut Vec<u8>) {
        match self {
            Buffer::None => {}
            Buffer::Direct(descriptor) => bytes.extend(descriptor.encode()),
            Buffer::Indirect { table, len, inline } => {
                bytes.extend(table.encode());
                bytes.extend(len.to_be_bytes());
                inline.iter().for_each(|descriptor| bytes.extend(descriptor.encode()));
            }
            Buffer::Immediate(data) => bytes.extend((data.len() as u32).to_be_bytes()),
        }
    }
}

/// SRP_CMD.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Command {
    /// Comes back in the response.
    pub tag: [u8; 8],
    /// 0x02: tell of success, 0x04: of failure, by a solicited event.
    pub solicit: u8,
    /// SAM's 8 bytes.
    pub lun: [u8; 8],
    /// 0 simple, 1 head of queue, 2 ordered, 4 ACA.
    pub task_attribute: u8,
    /// 6 to 16 bytes, or more in steps of 4: what is beyond 16 becomes the additional CDB.
    pub cdb: Vec<u8>,
    /// From the initiator.
    pub data_out: Buffer,
    /// To the initiator.
    pub data_in: Buffer,
}

impl Command {
    /// The information unit; immediate data lie at `immediate_offset`, as agreed in the login.
    pub fn encode(&self, immediate_offset: u16) -> Vec<u8> {
        let beyond = self.cdb.len().saturating_sub(16);
        assert!(beyond.is_multiple_of(4) && beyond <= 0xfc, "an additional CDB has a multiple of 4 bytes, at most 252");
        let mut bytes = vec![0; 48];
        bytes[0] = 0x02;
        bytes[1] = self.solicit;
        bytes[5] = self.data_out.format() << 4 | self.data_in.format();
        bytes[6] = self.data_out.count();
        bytes[7] = self.data_in.count();
        bytes[8..16].copy_from_slice(&self.tag);
        bytes[20..28].copy_from_slice(&self.lun);
        bytes[29] = self.task_attribute;
        bytes[31] = beyond as u8;
        let first = self.cdb.len().min(16);
        bytes[32..32 + first].copy_from_slice(&self.cdb[..first]);
        bytes.extend(&self.cdb[first..]);
        self.data_out.encode(&mut bytes);
        self.data_in.encode(&mut bytes);
        if let Buffer::Immediate(data) = &self.data_out {
            let offset = usize::from(immediate_offset);
            assert!(bytes.len() <= offset, "descriptors reach into the immediate data at {offset}");
            bytes.resize(offset, 0);
            bytes.extend(data);
        }
        bytes
    }
}

/// Functions of task management.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Function {
    /// 0x01
    AbortTask,
    /// 0x02
    AbortTaskSet,
    /// 0x04
    ClearTaskSet,
    /// 0x08
    LunReset,
    /// 0x40
    ClearAca,
    /// Anything else.
    Other(u8),
}

impl Function {
    fn code(self) -> u8 {
        match self {
            Function::AbortTask => 0x01,
            Function::AbortTaskSet => 0x02,
            Function::ClearTaskSet => 0x04,
            Function::LunReset => 0x08,
            Function::ClearAca => 0x40,
            Function::Other(code) => code,
        }
    }
}

/// SRP_TSK_MGMT.
pub fn encode_task_management(tag: [u8; 8], solicit: u8, lun: [u8; 8], function: Function, task: [u8; 8]) -> Vec<u8> {
    let mut bytes = vec![0; 48];
    bytes[0] = 0x01;
    bytes[1] = solicit;
    bytes[8..16].copy_from_slice(&tag);
    bytes[20..28].copy_from_slice(&lun);
    bytes[30] = function.code();
    bytes[32..40].copy_from_slice(&task);
    bytes
}

/// SRP_I_LOGOUT.
pub fn encode_logout(tag: [u8; 8]) -> Vec<u8> {
    encode_small(0x03, tag)
}

/// SRP_CRED_RSP.
pub fn encode_credit_response(tag: [u8; 8]) -> Vec<u8> {
    encode_small(0x41, tag)
}

/// SRP_AER_RSP.
pub fn encode_event_response(tag: [u8; 8]) -> Vec<u8> {
    encode_small(0x42, tag)
}

fn encode_small(opcode: u8, tag: [u8; 8]) -> Vec<u8> {
    let mut bytes = vec![0; 16];
    bytes[0] = opcode;
    bytes[8..].copy_from_slice(&tag);
    bytes
}

/// What a target sends on a channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// SRP_RSP.
    Response(Response),
    /// SRP_CRED_REQ.
    CreditRequest {
        /// To be repeated in the answer.
        tag: [u8; 8],
        /// Change of the request limit.
        credits: i32,
    },
    /// SRP_AER_REQ.
    Event {
        /// To be repeated in the answer.
        tag: [u8; 8],
        /// Change of the request limit.
        credits: i32,
        /// Which unit.
        lun: [u8; 8],
        /// What happened there.
        sense: Vec<u8>,
    },
    /// SRP_T_LOGOUT.
    Logout {
        /// Why.
        reason: u32,
    },
}

/// SRP_RSP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Response {
    /// Whether the solicited-notification bit is set.
    pub solicited: bool,
    /// Change of the request limit.
    pub credits: i32,
    /// The request's.
    pub tag: [u8; 8],
    /// SCSI status.
    pub status: u8,
    /// Data-out and data-in that were not as long as the other side thought.
    pub data_out: Residual,
    /// The same for data-in.
    pub data_in: Residual,
    /// The response code of 4 bytes of response data.
    pub code: Option<u8>,
    /// Sense data.
    pub sense: Vec<u8>,
}

/// A residual and its flag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Residual {
    /// All of the buffer was used, no more was wanted.
    None,
    /// So many bytes of the buffer were not used.
    Under(u32),
    /// So many more bytes would have been there.
    Over(u32),
}

impl Message {
    /// Reads a message.
    pub fn decode(bytes: &[u8]) -> Message {
        assert!(bytes.len() >= 16, "a message of {} bytes", bytes.len());
        match bytes[0] {
            0xc1 => Message::Response(Response::decode(bytes)),
            0x81 => {
                assert_eq!(bytes.len(), 16, "length of SRP_CRED_REQ");
                Message::CreditRequest { tag: take(bytes, 8), credits: be32(bytes, 4) as i32 }
            }
            0x82 => {
                assert!(bytes.len() >= 36, "SRP_AER_REQ of {} bytes", bytes.len());
                let sense_len = be32(bytes, 28) as usize;
                assert_eq!(bytes.len(), 36 + sense_len, "length of SRP_AER_REQ and of its sense");
                let (tag, lun) = (take(bytes, 8), take(bytes, 20));
                Message::Event { tag, credits: be32(bytes, 4) as i32, lun, sense: bytes[36..].to_vec() }
            }
            0x80 => {
                assert_eq!(bytes.len(), 16, "length of SRP_T_LOGOUT");
                Message::Logout { reason: be32(bytes, 4) }
            }
            opcode => panic!("the target sent opcode {opcode:#04x}, which no target sends: {bytes:02x?}"),
        }
    }
}

impl Response {
    fn decode(bytes: &[u8]) -> Response {
        assert!(bytes.len() >= 36, "SRP_RSP of {} bytes", bytes.len());
        assert!(is_zero(&bytes[2..4]) && is_zero(&bytes[16..18]), "reserved bytes of SRP_RSP are not 0");
        assert!(bytes[1] <= 1, "SOLNT of SRP_RSP is {:#04x}", bytes[1]);
        let flags = bytes[18];
        assert_eq!(flags & 0xc0, 0, "reserved flags of SRP_RSP");
        let (sense_len, code_len) = (be32(bytes, 28) as usize, be32(bytes, 32) as usize);
        assert_eq!(bytes.len(), 36 + code_len + sense_len, "SRP_RSP is as long as its parts say");
        assert_eq!(code_len, if flags & 0x01 != 0 { 4 } else { 0 }, "RSPVALID and the length of response data");
        assert_eq!(sense_len > 0, flags & 0x02 != 0, "SNSVALID and the length of sense data");
        let code = (code_len == 4).then(|| {
            assert!(is_zero(&bytes[36..39]), "the response code is in the last byte of response data");
            bytes[39]
        });
        Response {
            solicited: bytes[1] == 1,
            credits: be32(bytes, 4) as i32,
            tag: take(bytes, 8),
            status: bytes[19],
            data_out: residual(flags & 0x08 != 0, flags & 0x04 != 0, be32(bytes, 20)),
            data_in: residual(flags & 0x20 != 0, flags & 0x10 != 0, be32(bytes, 24)),
            code,
            sense: bytes[36 + code_len..].to_vec(),
        }
    }
}

fn residual(under: bool, over: bool, count: u32) -> Residual {
    match (under, over) {
        (false, false) => {
            assert_eq!(count, 0, "a residual count without its flag");
            Residual::None
        }
        (true, false) => Residual::Under(count),
        (false, true) => Residual::Over(count),
        (true, true) => panic!("a residual that is both under and over"),
    }
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(take(bytes, at))
}

fn take<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("N bytes")
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login() -> LoginRequest {
        LoginRequest {
            tag: [1, 2, 3, 4, 5, 6, 7, 8],
            max_it_iu_len: 8260,
            formats: 6,
            flags: 0x81,
            immediate_offset: 68,
            initiator_port: [0x11; 16],
            target_port: [0x22; 16],
        }
    }

    #[test]
    fn login_fields_lie_where_the_standard_puts_them() {
        let bytes = login().encode(LoginForm::InfiniBandCm);
        assert_eq!(bytes.len(), 64);
        assert_eq!(&bytes[8..16], &[1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(&bytes[16..20], &[0, 0, 0x20, 0x44]);
        assert_eq!(&bytes[24..30], &[0, 6, 0x81, 0, 0, 68]);
        assert!(bytes[32..48].iter().all(|&b| b == 0x11) && bytes[48..].iter().all(|&b| b == 0x22));

        let bytes = login().encode(LoginForm::RdmaCm);
        assert_eq!(bytes.len(), 56);
        assert_eq!(&bytes[..16], &[1, 2, 3, 4, 5, 6, 7, 8, 0, 6, 0x81, 0, 0, 0, 0x20, 0x44]);
        assert!(bytes[16..32].iter().all(|&b| b == 0x11) && bytes[32..48].iter().all(|&b| b == 0x22));
        assert_eq!(&bytes[48..], &[0, 68, 0, 0, 0, 0, 0, 0]);
        assert_eq!(login().encode(LoginForm::EarlyRdmaCm), bytes[..48]);
    }

    #[test]
    fn command_fields_lie_where_the_standard_puts_them() {
        let piece = Descriptor { addr: 0x0102_0304_0506_0708, rkey: 0x1112_1314, len: 0x100 };
        let mut command = Command {
            tag: [9; 8],
            solicit: 6,
            lun: [0, 5, 0, 0, 0, 0, 0, 0],
            task_attribute: 2,
            cdb: (1..=20).collect(),
            data_out: Buffer::Indirect { table: Descriptor { len: 32, ..piece }, len: 0x200, inline: vec![piece] },
            data_in: Buffer::None,
        };
        let bytes = command.encode(68);
        assert_eq!(bytes.len(), 48 + 4 + 20 + 16);
        assert_eq!((bytes[0], bytes[1], bytes[5], bytes[6], bytes[7]), (2, 6, 0x20, 1, 0));
        assert_eq!((&bytes[8..16], &bytes[20..28]), (&[9; 8][..], &command.lun[..]));
        assert_eq!((bytes[29], bytes[31]), (2, 4));
        assert_eq!(&bytes[32..52], &command.cdb[..]);
        assert_eq!(&bytes[52..72], &[1, 2, 3, 4, 5, 6, 7, 8, 0x11, 0x12, 0x13, 0x14, 0, 0, 0, 32, 0, 0, 2, 0]);
        assert_eq!(&bytes[72..], &piece.encode());

        command.cdb.truncate(6);
        (command.data_in, command.data_out) = (Buffer::Direct(piece), Buffer::None);
        let bytes = command.encode(68);
        assert_eq!((bytes.len(), bytes[5], &bytes[38..48]), (64, 0x01, &[0; 10][..]));

        (command.data_in, command.data_out) = (Buffer::None, Buffer::Immediate(vec![7; 3]));
        let bytes = command.encode(68);
        assert_eq!((bytes.len(), bytes[5], bytes[6]), (71, 0x30, 0));
        assert_eq!(&bytes[48..], &[&[0, 0, 0, 3][..], &[0; 16], &[7; 3]].concat());
    }

    #[test]
    fn a_response_is_read_from_where_the_standard_puts_it() {
        let mut bytes = vec![0xc1, 1, 0, 0, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0x27, 2];
        bytes.extend([0, 0, 0, 9, 0, 0, 0, 5, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 0x0c, 0x70, 0x71]);
        let Message::Response(response) = Message::decode(&bytes) else { panic!("SRP_RSP") };
        let expected = Response {
            solicited: true,
            credits: 3,
            tag: [1, 2, 3, 4, 5, 6, 7, 8],
            status: 2,
            data_out: Residual::Over(9),
            data_in: Residual::Under(5),
            code: Some(0x0c),
            sense: vec![0x70, 0x71],
        };
        assert_eq!(response, expected);
    }

    /// Real initiators drop the sense of a response that is longer or shorter than its lengths say.
    #[test]
    #[should_panic(expected = "as long as its parts say")]
    fn a_response_with_padding_is_refused() {
        let mut bytes = vec![0; 54];
        bytes[0] = 0xc1;
        bytes[18] = 2;
        bytes[31] = 17;
        Message::decode(&bytes);
    }
}
