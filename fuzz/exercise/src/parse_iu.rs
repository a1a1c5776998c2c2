//! What must hold for any bytes received on a channel.

use transport_srp::wire::{
    self, BufferRepr, Command, CommandRepr, DataBuffer, Descriptor, Indirect, Iu, IuError, ResponseBody, TargetIu,
};

/// Tries `bytes` as an IU from an initiator, with several agreements on immediate data, and as one from a target.
pub fn run(bytes: &[u8]) {
    for immediate_offset in [None, Some(0), Some(48), Some(68), Some(u16::MAX)] {
        from_initiator(bytes, immediate_offset);
    }
    from_target(bytes);
}

fn from_initiator(bytes: &[u8], immediate_offset: Option<u16>) {
    match wire::parse(bytes, immediate_offset) {
        Ok(Iu::Command(command)) => {
            let again = emitted(&command, bytes);
            let Ok(Iu::Command(second)) = wire::parse(&again, immediate_offset) else {
                panic!("not read back: {command:?}")
            };
            assert_eq!(second, command);
            assert_eq!(second.cdb(&again), command.cdb(bytes));
            assert_eq!(second.data_out.immediate(&again), command.data_out.immediate(bytes));
        }
        Ok(Iu::TaskManagement(management)) => {
            assert_eq!(wire::parse(&management.emit(), immediate_offset), Ok(Iu::TaskManagement(management)));
        }
        Ok(Iu::Logout { tag } | Iu::CredRsp { tag } | Iu::AerRsp { tag }) => assert_eq!(tag.0, bytes[8..16]),
        Err(IuError::Refuse { tag, lun, .. }) => {
            assert_eq!((&tag.0[..], &lun[..]), (&bytes[8..16], &bytes[20..28]), "what an answer needs");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// The command as an initiator would write it: whatever was accepted lies within the IU, or this panics.
fn emitted(command: &Command, iu: &[u8]) -> Vec<u8> {
    let lists = [command.data_out, command.data_in].map(|buffer| inline_list(&buffer, iu));
    let buffer = |buffer: &DataBuffer, inline| match *buffer {
        DataBuffer::None => BufferRepr::None,
        DataBuffer::Direct(descriptor) => BufferRepr::Direct(descriptor),
        DataBuffer::Indirect(Indirect { table, total_len, .. }) => BufferRepr::Indirect { table, total_len, inline },
        DataBuffer::Immediate { offset, len } => {
            let data = buffer.immediate(iu).expect("it is immediate");
            assert_eq!(data.len(), len as usize);
            BufferRepr::Immediate { offset, data }
        }
    };
    let repr = CommandRepr {
        tag: command.tag,
        lun: command.lun,
        task_attribute: command.task_attribute,
        solicited: command.solicited,
        cdb: command.cdb(iu),
        data_out: buffer(&command.data_out, &lists[0]),
        data_in: buffer(&command.data_in, &lists[1]),
    };
    let mut out = vec![0; repr.emitted_len()];
    assert_eq!(repr.emit(&mut out), out.len());
    out
}

fn inline_list(buffer: &DataBuffer, iu: &[u8]) -> Vec<Descriptor> {
    let DataBuffer::Indirect(indirect) = buffer else { return Vec::new() };
    let list = &iu[usize::from(indirect.inline_offset)..][..usize::from(indirect.inline_count) * 16];
    list.chunks_exact(16).map(|bytes| Descriptor::parse(bytes.try_into().expect("16 bytes"))).collect()
}

fn from_target(bytes: &[u8]) {
    let Ok(iu) = wire::parse_from_target(bytes) else { return };
    let mut out = vec![0; bytes.len() + 40];
    let len = match iu {
        TargetIu::Response(response) => {
            if let ResponseBody::Status { sense, .. } = response.body {
                assert!(sense.len() + 36 <= bytes.len());
            }
            response.emit(&mut out)
        }
        TargetIu::CredReq(request) => request.emit(&mut out),
        TargetIu::AerReq(request) => request.emit(&mut out),
        TargetIu::Logout(logout) => logout.emit(&mut out),
    };
    assert_eq!(wire::parse_from_target(&out[..len]), Ok(iu));
}
