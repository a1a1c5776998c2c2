//! Protection information, through the whole target: blocks of 520 bytes in every form, and what is found of damage.

use std::os::unix::fs::FileExt;

use bdev::uring::{self, UringOptions};
use bdev::{Metadata, ProtectionType};
use fabric::sim::SimOptions;

use super::*;
use crate::testing::wire::Residual;
use crate::testing::{Data, Form};

/// Bytes of a block with its protection information.
const WHOLE: u32 = BLOCK + 8;
const GUARD: Option<(u8, u8, u8)> = Some((0x0b, 0x10, 0x01));
const REFERENCE_TAG: Option<(u8, u8, u8)> = Some((0x0b, 0x10, 0x03));

struct Scene {
    rig: Rig,
    initiator: Initiator,
    channel: usize,
}

impl Scene {
    fn new(seed: u64, bdev: &Arc<Bdev>) -> Scene {
        let mut rig = Rig::new(seed, 1, SimOptions::jittery(), 16);
        rig.export(bdev);
        let mut initiator = rig.initiator(1);
        let channel = rig.login(&mut initiator, MultiChannel::Single);
        rig.clear_attention(&mut initiator, channel, 0);
        Scene { rig, initiator, channel }
    }

    fn execute(&mut self, request: &Request) -> crate::testing::Outcome {
        self.rig.execute(&mut self.initiator, self.channel, request)
    }

    fn end(mut self) {
        assert_eq!(self.rig.network.violations(), vec![]);
        self.initiator.disconnect(self.channel);
        self.rig.check_nothing_leaked();
    }
}

fn ram(kind: ProtectionType) -> Arc<Bdev> {
    let options = bdev::malloc::MallocOptions {
        name: "ram0".into(),
        num_blocks: 4096,
        block_size: BLOCK,
        metadata: Some(Metadata::of(kind)),
        ..Default::default()
    };
    bdev::malloc::create(options).expect("a RAM disk")
}

/// READ(10) and WRITE(10) of blocks with their protection information.
fn read(field: u8, lba: u32, blocks: u16) -> Request {
    protect(field, Request::read(lun(0), lba, blocks, WHOLE))
}

fn write(field: u8, lba: u32, blocks: Vec<u8>) -> Request {
    protect(field, Request::write(lun(0), lba, WHOLE, blocks))
}

fn protect(field: u8, mut request: Request) -> Request {
    request.cdb[1] |= field << 5;
    request
}

/// The blocks of `data` as an initiator sends them that makes the information itself. The CRC is the standard's, bit by bit.
fn with_information(data: &[u8], lba: u32) -> Vec<u8> {
    let blocks = data.chunks(BLOCK as usize).zip(lba..).map(|(block, lba)| {
        let guard = block.iter().fold(0_u16, |crc, &byte| {
            (0..8).fold(crc ^ u16::from(byte) << 8, |crc, _| crc << 1 ^ if crc >> 15 == 1 { 0x8bb7 } else { 0 })
        });
        [block, &guard.to_be_bytes(), &[0, 0], &lba.to_be_bytes()].concat()
    });
    blocks.flatten().collect()
}

#[test]
fn blocks_come_and_go_with_their_information_in_any_form() {
    let mut scene = Scene::new(81, &ram(ProtectionType::Type1));
    for (seed, blocks) in [1_u16, 2, 15, 128, 2048].into_iter().enumerate() {
        let len = u32::from(blocks) * WHOLE;
        let data = pattern((u32::from(blocks) * BLOCK) as usize, seed as u8);
        let whole = with_information(&data, 9);
        let mut forms = vec![Form::Direct, Form::inline(len, 7), Form::table(len, 300, 2), Form::table(len, 2048, 0)];
        if len <= 8192 {
            forms.push(Form::Immediate);
        }
        for (index, form) in forms.into_iter().enumerate() {
            let back = if form == Form::Immediate { Form::Direct } else { form.clone() };
            scene.execute(&write(1, 9, whole.clone()).form(form)).good();
            let answer = scene.execute(&read(1, 9, blocks).form(back.clone())).good();
            assert!(answer.data == whole, "{blocks} blocks, form {index}: other bytes came back");
            assert_eq!(answer.residual_in, Residual::None);
            if index == 0 {
                // And without it, for who knows nothing of it.
                let plain = scene.execute(&Request::read(lun(0), 9, blocks, BLOCK)).good();
                assert!(plain.data == data, "{blocks} blocks: other bytes came back");
            }
        }
    }
    scene.end();
}

#[test]
fn information_is_made_for_who_sends_none() {
    for (kind, reference_tag) in [(ProtectionType::Type1, None), (ProtectionType::Type3, Some([0xff; 4]))] {
        let mut scene = Scene::new(82, &ram(kind));
        let data = pattern(3 * BLOCK as usize, 5);
        scene.execute(&Request::write(lun(0), 100, BLOCK, data.clone())).good();
        let mut expected = with_information(&data, 100);
        for block in expected.chunks_mut(WHOLE as usize) {
            reference_tag.iter().for_each(|tag| block[516..].copy_from_slice(tag));
        }
        assert_eq!(scene.execute(&read(1, 100, 3)).good().data, expected, "{kind:?}");
        scene.end();
    }
}

/// A buffer for blocks without information, where the CDB asks for it: what fits, as for any other.
#[test]
fn a_buffer_without_room_for_the_information_gets_what_fits() {
    let mut scene = Scene::new(83, &ram(ProtectionType::Type1));
    let data = pattern(2 * BLOCK as usize, 5);
    scene.execute(&Request::write(lun(0), 0, BLOCK, data.clone())).good();
    let mut short = read(1, 0, 2);
    short.data = Data::In { len: 2 * BLOCK, form: Form::Direct };
    let answer = scene.execute(&short).good();
    assert_eq!((answer.residual_in, &answer.data[..]), (Residual::Over(16), &with_information(&data, 0)[..1024]));
    let mut short = write(1, 0, with_information(&data, 0));
    short.data = Data::Out { bytes: vec![7; 2 * BLOCK as usize], form: Form::Direct };
    assert_eq!(scene.execute(&short).answer().key_and_code(), Some((5, 0x24, 0)));
    assert_eq!(scene.execute(&Request::read(lun(0), 0, 2, BLOCK)).good().data, data, "nothing of it landed");
    scene.end();
}

#[test]
fn what_is_sent_wrong_is_refused_and_not_written() {
    let mut scene = Scene::new(84, &ram(ProtectionType::Type1));
    let data = pattern(3 * BLOCK as usize, 5);
    let good = with_information(&data, 40);
    scene.execute(&write(1, 40, good.clone())).good();
    let mut other = with_information(&pattern(3 * BLOCK as usize, 6), 40);
    other[2 * WHOLE as usize] ^= 1;
    for (request, expected, lba) in [
        (write(1, 40, other.clone()), GUARD, 42),
        (write(4, 40, other), GUARD, 42),
        (write(1, 41, good.clone()), REFERENCE_TAG, 41),
        (write(2, 41, good.clone()), REFERENCE_TAG, 41),
    ] {
        let answer = scene.execute(&request).answer();
        assert_eq!((answer.key_and_code(), information(&answer.sense)), (expected, lba));
    }
    assert_eq!(scene.execute(&read(1, 40, 3)).good().data, good);
    scene.end();
}

/// INFORMATION of sense data in the fixed format, which is valid.
fn information(sense: &[u8]) -> u32 {
    assert_eq!(sense[0], 0xf0);
    u32::from_be_bytes([sense[3], sense[4], sense[5], sense[6]])
}

/// Bits that change in the file, and blocks that come to lie elsewhere.
#[test]
fn silent_corruption_of_the_file_is_found() {
    let folder = tempfile::tempdir().expect("a folder for a test");
    let options = UringOptions {
        name: "disk".into(),
        filename: folder.path().join("disk"),
        size: Some(64 * u64::from(WHOLE)),
        block_size: Some(BLOCK),
        metadata: Some(Metadata::of(ProtectionType::Type1)),
        ..Default::default()
    };
    let mut scene = Scene::new(85, &uring::create(options).expect("a file"));
    let data = pattern(8 * BLOCK as usize, 5);
    scene.execute(&Request::write(lun(0), 8, BLOCK, data.clone())).good();
    let file = std::fs::File::options().read(true).write(true).open(folder.path().join("disk")).expect("the file");
    let at = |lba: u64| lba * u64::from(WHOLE);
    let mut block = [0; WHOLE as usize];
    file.read_exact_at(&mut block, at(9)).expect("a block");
    assert_eq!(block[..512], data[512..1024], "data first, then its information");

    let mut spoilt = block;
    spoilt[100] ^= 0x40;
    file.write_all_at(&spoilt, at(9)).expect("written");
    for request in
        [Request::read(lun(0), 8, 8, BLOCK), read(1, 8, 8), protect(0, verify(8, 8)), protect(1, verify(8, 8))]
    {
        let answer = scene.execute(&request).answer();
        assert_eq!((answer.key_and_code(), information(&answer.sense)), (GUARD, 9), "{request:?}");
    }
    scene.execute(&Request::read(lun(0), 10, 6, BLOCK)).good();
    assert_eq!(scene.execute(&read(3, 9, 1)).good().data[..512], spoilt[..512], "011b gives it as it is");

    file.write_all_at(&block, at(9)).expect("written");
    file.write_all_at(&block, at(12)).expect("written");
    let answer = scene.execute(&Request::read(lun(0), 8, 8, BLOCK)).answer();
    assert_eq!((answer.key_and_code(), information(&answer.sense)), (REFERENCE_TAG, 12), "a block from elsewhere");
    scene.execute(&Request::write(lun(0), 8, BLOCK, data.clone())).good();
    assert_eq!(scene.execute(&Request::read(lun(0), 8, 8, BLOCK)).good().data, data, "written anew, it is whole");
    scene.end();
}

/// VERIFY(10).
fn verify(lba: u32, blocks: u16) -> Request {
    let mut request = Request::read(lun(0), lba, blocks, BLOCK);
    (request.cdb[0], request.data) = (0x2f, Data::None);
    request
}
