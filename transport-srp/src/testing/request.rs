//! What can be asked of a target: CDBs, and the forms in which their data can be described.

/// One SCSI command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// SAM's 8 bytes; see [`lun`].
    pub lun: [u8; 8],
    /// 6 to 16 bytes, or more in steps of 4.
    pub cdb: Vec<u8>,
    /// The data buffer.
    pub data: Data,
    /// 0 simple, 1 head of queue, 2 ordered, 4 ACA.
    pub task_attribute: u8,
    /// 0x02: solicited event on success, 0x04: on failure.
    pub solicit: u8,
}

/// The data buffer of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Data {
    /// None.
    None,
    /// To the initiator.
    In {
        /// Length of the buffer in bytes.
        len: u32,
        /// How it is described.
        form: Form,
    },
    /// From the initiator.
    Out {
        /// The data.
        bytes: Vec<u8>,
        /// How they are described.
        form: Form,
    },
}

/// How a data buffer is described.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Form {
    /// One descriptor.
    Direct,
    /// A list of descriptors, of which the first `inline` are in the request; where that is not all of them, the target must
    /// fetch the list. Each piece is memory of its own, with its own key.
    Indirect {
        /// Lengths in bytes; 0 is legal, and so is a sum above the buffer's length.
        pieces: Vec<u32>,
        /// How many are in the request.
        inline: u8,
    },
    /// The data are in the request itself; only from the initiator.
    Immediate,
}

/// The 8 bytes of a single-level LUN below 16384 (SAM-5 4.7.7.1: peripheral, or flat space addressing from 256 on).
pub fn lun(number: u16) -> [u8; 8] {
    let [high, low] = number.to_be_bytes();
    let method = if number < 256 { 0 } else { 0x40 };
    [method | high, low, 0, 0, 0, 0, 0, 0]
}

impl Form {
    /// A list of equal pieces, all of it in the request.
    pub fn inline(len: u32, pieces: u8) -> Form {
        Form::Indirect { pieces: cut(len, pieces.into()), inline: pieces }
    }

    /// A list of equal pieces, of which only the first `inline` are in the request.
    pub fn table(len: u32, pieces: u32, inline: u8) -> Form {
        Form::Indirect { pieces: cut(len, pieces), inline }
    }
}

/// Cuts `len` into pieces that differ by 1 at most.
fn cut(len: u32, pieces: u32) -> Vec<u32> {
    (0..pieces).map(|i| len / pieces + u32::from(i < len % pieces)).collect()
}

impl Request {
    /// A request without data, with a simple task attribute.
    pub fn new(lun: [u8; 8], cdb: impl Into<Vec<u8>>) -> Request {
        Request { lun, cdb: cdb.into(), data: Data::None, task_attribute: 0, solicit: 0 }
    }

    /// With `len` bytes of room for data from the target, in one piece.
    pub fn data_in(self, len: u32) -> Request {
        Request { data: Data::In { len, form: Form::Direct }, ..self }
    }

    /// With data for the target, in one piece.
    pub fn data_out(self, bytes: impl Into<Vec<u8>>) -> Request {
        Request { data: Data::Out { bytes: bytes.into(), form: Form::Direct }, ..self }
    }

    /// With the data buffer described like this.
    pub fn form(mut self, new: Form) -> Request {
        match &mut self.data {
            Data::None => panic!("a request without data has no form"),
            Data::In { form, .. } | Data::Out { form, .. } => *form = new,
        }
        self
    }

    /// TEST UNIT READY.
    pub fn test_unit_ready(lun: [u8; 8]) -> Request {
        Request::new(lun, [0; 6])
    }

    /// INQUIRY: standard data, or a VPD page, with room for `len` bytes.
    pub fn inquiry(lun: [u8; 8], page: Option<u8>, len: u16) -> Request {
        let [high, low] = len.to_be_bytes();
        let cdb = [0x12, u8::from(page.is_some()), page.unwrap_or(0), high, low, 0];
        Request::new(lun, cdb).data_in(len.into())
    }

    /// REPORT LUNS with room for `len` bytes.
    pub fn report_luns(len: u32) -> Request {
        let mut cdb = [0; 12];
        cdb[0] = 0xa0;
        cdb[6..10].copy_from_slice(&len.to_be_bytes());
        Request::new(lun(0), cdb).data_in(len)
    }

    /// READ CAPACITY(16) as Linux asks it: with room for 32 bytes.
    pub fn read_capacity(lun: [u8; 8]) -> Request {
        let mut cdb = [0; 16];
        (cdb[0], cdb[1], cdb[13]) = (0x9e, 0x10, 32);
        Request::new(lun, cdb).data_in(32)
    }

    /// READ(10) of `blocks` blocks of `block_len` bytes.
    pub fn read(lun: [u8; 8], lba: u32, blocks: u16, block_len: u32) -> Request {
        Request::new(lun, block_cdb(0x28, lba, blocks)).data_in(u32::from(blocks) * block_len)
    }

    /// WRITE(10) of `bytes`, whole blocks of `block_len` bytes.
    pub fn write(lun: [u8; 8], lba: u32, block_len: u32, bytes: impl Into<Vec<u8>>) -> Request {
        let bytes = bytes.into();
        let blocks = u16::try_from(bytes.len() / block_len as usize).expect("WRITE(10) moves at most 65535 blocks");
        Request::new(lun, block_cdb(0x2a, lba, blocks)).data_out(bytes)
    }

    /// SYNCHRONIZE CACHE(10) of the whole unit.
    pub fn synchronize_cache(lun: [u8; 8]) -> Request {
        Request::new(lun, block_cdb(0x35, 0, 0))
    }
}

fn block_cdb(operation: u8, lba: u32, blocks: u16) -> [u8; 10] {
    let mut cdb = [0; 10];
    cdb[0] = operation;
    cdb[2..6].copy_from_slice(&lba.to_be_bytes());
    cdb[7..9].copy_from_slice(&blocks.to_be_bytes());
    cdb
}
