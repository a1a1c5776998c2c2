//! Commands that go on with nobody waiting for them: FORMAT UNIT, SANITIZE and SYNCHRONIZE CACHE with IMMED, and what becomes of them, and of
//! others meanwhile.

use bdev::error::{ErrorType, Injection, IoType};
use fabric::sim::SimOptions;

use super::modes::Memory;
use super::*;
use crate::testing::wire::Function;
use crate::testing::{Answer, Form, Handle, Outcome};

const BLOCKS: u64 = 4096;
const SANITIZE_IN_PROGRESS: Option<(u8, u8, u8)> = Some((2, 0x04, 0x1b));
const IMMED: u8 = 0x80;

/// A target on several reactors whose devices can be held, and an initiator on each.
struct Scene {
    rig: Rig,
    initiators: Vec<Initiator>,
    held: bool,
}

impl Scene {
    fn new(seed: u64, bdev: &Arc<Bdev>, credits: u32) -> Scene {
        let mut rig = Rig::new(seed, 2, SimOptions::default(), credits);
        rig.controller.set_store(Box::<Memory>::default());
        rig.export(bdev);
        let mut initiators = vec![rig.initiator(1), rig.initiator(2)];
        for initiator in &mut initiators {
            let channel = rig.login(initiator, MultiChannel::Single);
            rig.clear_attention(initiator, channel, 0);
        }
        Scene { rig, initiators, held: false }
    }

    fn step(&mut self) {
        self.rig.groups.iter_mut().for_each(|group| group.devices_held = self.held);
        self.rig.step();
    }

    fn run(&mut self, rounds: usize) {
        for _ in 0..rounds {
            self.step();
            for initiator in &mut self.initiators {
                initiator.poll();
            }
        }
    }

    fn start(&mut self, of: usize, request: &Request) -> Handle {
        let handle = self.initiators[of].start(0, request).expect("a credit");
        self.run(20);
        handle
    }

    fn finish(&mut self, of: usize, handle: Handle) -> Answer {
        for _ in 0..100_000 {
            if let Some(outcome) = self.initiators[of].take(handle) {
                return outcome.answer();
            }
            self.run(1);
        }
        panic!("no answer");
    }

    fn execute(&mut self, of: usize, request: &Request) -> Answer {
        let handle = self.start(of, request);
        self.finish(of, handle)
    }

    fn manage(&mut self, of: usize, function: Function, task: Option<Handle>) -> Option<u8> {
        let handle = self.initiators[of].manage(0, function, lun(0), task).expect("a credit");
        self.finish(of, handle).code
    }

    fn ready(&mut self, of: usize) -> Option<(u8, u8, u8)> {
        self.execute(of, &Request::test_unit_ready(lun(0))).key_and_code()
    }

    /// Steps until the medium can be used.
    fn wait_until_ready(&mut self, of: usize) {
        for _ in 0..1000 {
            match self.ready(of) {
                None => return,
                told => assert_eq!(told, SANITIZE_IN_PROGRESS),
            }
        }
        panic!("it takes too long");
    }

    /// PROGRESS INDICATION as REQUEST SENSE has it; `None` if there is nothing to tell.
    fn progress(&mut self, of: usize) -> Option<u16> {
        let sense = self.execute(of, &Request::new(lun(0), [0x03, 0, 0, 0, 18, 0]).data_in(18)).data;
        assert!(sense[2] == 0 || sense[2..3] == [2] && sense[12..16] == [0x04, 0x1b, 0, 0x80], "{sense:02x?}");
        (sense[2] != 0).then(|| u16::from_be_bytes([sense[16], sense[17]]))
    }

    /// P_TYPE and PROT_EN of READ CAPACITY(16).
    fn protection(&mut self, of: usize) -> u8 {
        let capacity = Request::new(lun(0), [0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0]).data_in(32);
        self.execute(of, &capacity).data[12]
    }

    fn block(&mut self, of: usize, lba: u32) -> Vec<u8> {
        self.execute(of, &Request::read(lun(0), lba, 1, BLOCK)).data
    }

    fn check_credits(&mut self, of: usize) {
        self.run(20);
        let (left, granted) = self.initiators[of].credits(0);
        assert_eq!(left, granted, "every credit of initiator {of} is back");
    }

    fn end(mut self) {
        self.held = false;
        self.run(200);
        assert_eq!(self.rig.network.violations(), vec![]);
        for of in 0..self.initiators.len() {
            self.check_credits(of);
            self.initiators[of].disconnect(0);
        }
        self.rig.check_nothing_leaked();
    }
}

/// One pass with this byte; without AUSE.
fn sanitize(immediate: u8, byte: u8) -> Request {
    let list = [1, 0, 0, 1, byte];
    Request::new(lun(0), [0x48, immediate | 0x01, 0, 0, 0, 0, 0, 0, 5, 0]).data_out(list)
}

fn write(byte: u8) -> Request {
    Request::write(lun(0), 0, BLOCK, vec![byte; 4096])
}

#[test]
fn sanitize_with_immed_is_answered_before_it_is_done_and_everybody_sees_how_far_it_is() {
    for (seed, form) in [(81, Form::Direct), (82, Form::Immediate)] {
        let mut scene = Scene::new(seed, &malloc("ram0", BLOCKS), 16);
        scene.execute(1, &write(0x11));
        scene.held = true;
        assert_eq!(scene.execute(0, &sanitize(IMMED, 0xa5).form(form)).status, 0);
        scene.check_credits(0);
        for of in [0, 1] {
            assert_eq!((scene.ready(of), scene.progress(of)), (SANITIZE_IN_PROGRESS, Some(0)));
            assert_eq!(scene.execute(of, &Request::inquiry(lun(0), None, 36)).status, 0);
            assert_eq!(scene.execute(of, &Request::read_capacity(lun(0))).status, 0);
            assert_eq!(scene.execute(of, &sanitize(IMMED, 0)).key_and_code(), SANITIZE_IN_PROGRESS);
        }
        scene.held = false;
        let mut seen = Vec::new();
        while let Some(progress) = scene.progress(1) {
            seen.push(progress);
        }
        assert!(seen.is_sorted() && seen.iter().any(|&progress| progress > 0), "{seen:?}");
        for lba in [0, 1, BLOCKS as u32 - 1] {
            assert_eq!(scene.block(1, lba), vec![0xa5; 512]);
        }
        scene.end();
    }
}

#[test]
fn format_with_immed_goes_on_and_leaves_zeroes() {
    let mut scene = Scene::new(83, &malloc("ram0", BLOCKS), 16);
    scene.execute(0, &write(0x11));
    scene.held = true;
    let format = Request::new(lun(0), [0x04, 0x10, 0, 0, 0, 0]).data_out([0, 0x02, 0, 0]);
    assert_eq!(scene.execute(0, &format).status, 0);
    assert_eq!(scene.ready(1), Some((2, 0x04, 0x04)));
    assert_eq!(scene.execute(1, &Request::read_capacity(lun(0))).key_and_code(), Some((2, 0x04, 0x04)));
    scene.held = false;
    scene.run(100);
    assert_eq!((scene.ready(1), scene.block(1, 0)), (None, vec![0; 512]));
    scene.end();
}

/// SBC-4: an abort ends the command and has no effect on the operation; a reset resumes it.
#[test]
fn whoever_aborts_a_sanitize_operation_is_answered_and_it_goes_on() {
    let mut scene = Scene::new(84, &malloc("ram0", BLOCKS), 16);
    for (byte, function, by) in [
        (1, Function::AbortTask, 0),
        (2, Function::AbortTaskSet, 0),
        (3, Function::ClearTaskSet, 1),
        (4, Function::LunReset, 1),
    ] {
        scene.held = true;
        let task = scene.start(0, &sanitize(0, byte));
        assert_eq!(scene.manage(by, function, Some(task).filter(|_| function == Function::AbortTask)), Some(0));
        if by == 0 {
            assert_eq!(scene.initiators[0].take(task), Some(Outcome::Aborted));
        } else {
            assert_eq!(scene.finish(0, task).status, 0x40, "TASK ABORTED");
        }
        scene.check_credits(0);
        for of in [0, 1] {
            let told = (0..3)
                .map(|_| scene.ready(of))
                .find(|&told| told != Some((6, 0x29, 0x03)) && told != Some((6, 0x2f, 0)));
            assert_eq!(told, Some(SANITIZE_IN_PROGRESS), "{function:?}");
        }
        scene.held = false;
        scene.wait_until_ready(1);
        assert_eq!((scene.block(1, 0), scene.block(1, BLOCKS as u32 - 1)), (vec![byte; 512], vec![byte; 512]));
    }
    scene.end();
}

#[test]
fn a_sanitize_operation_outlives_its_initiator() {
    for immediate in [0, IMMED] {
        let mut scene = Scene::new(85, &malloc("ram0", BLOCKS), 16);
        scene.held = true;
        scene.start(0, &sanitize(immediate, 0xa5));
        scene.initiators[0].disconnect(0);
        scene.run(200);
        assert_eq!(scene.ready(1), SANITIZE_IN_PROGRESS);
        scene.held = false;
        scene.wait_until_ready(1);
        assert_eq!(scene.block(1, BLOCKS as u32 - 1), vec![0xa5; 512]);
        scene.check_credits(1);
        scene.initiators[1].disconnect(0);
        scene.rig.check_nothing_leaked();
    }
}

/// SBC-4: what is in a task set is terminated. Without that, a write would put data on a medium that has just been sanitized.
#[test]
fn commands_that_waited_for_the_device_end_when_a_sanitize_operation_begins() {
    for form in [Form::Direct, Form::Immediate] {
        let mut scene = Scene::new(86, &malloc("ram0", BLOCKS), 16);
        scene.held = true;
        let old = scene.start(0, &write(1));
        assert_eq!(scene.manage(0, Function::AbortTask, Some(old)), Some(0));
        let waiting = scene.start(1, &write(2).form(form.clone()));
        assert_eq!(scene.initiators[1].take(waiting), None, "a fence holds it back");
        assert_eq!(scene.execute(0, &sanitize(IMMED, 0xa5)).status, 0);
        assert_eq!(scene.finish(1, waiting).key_and_code(), SANITIZE_IN_PROGRESS);
        scene.check_credits(1);
        scene.held = false;
        scene.wait_until_ready(1);
        assert_eq!(scene.block(1, 0), vec![0xa5; 512], "after the write that was at the device");
        scene.end();
    }
}

/// It has begun, though a fence still keeps it from the device: others are told so, and it goes on.
#[test]
fn a_sanitize_operation_that_waits_behind_a_fence_goes_on_as_well() {
    for gone in [false, true] {
        let mut scene = Scene::new(92, &malloc("ram0", BLOCKS), 16);
        scene.held = true;
        let old = scene.start(1, &write(1));
        assert_eq!(scene.manage(1, Function::AbortTask, Some(old)), Some(0));
        let task = scene.start(0, &sanitize(0, 0xa5));
        match gone {
            true => scene.initiators[0].disconnect(0),
            false => assert_eq!(scene.manage(0, Function::AbortTask, Some(task)), Some(0)),
        }
        scene.run(100);
        assert_eq!(scene.ready(1), SANITIZE_IN_PROGRESS);
        scene.held = false;
        scene.wait_until_ready(1);
        assert_eq!((scene.block(1, 0), scene.block(1, BLOCKS as u32 - 1)), (vec![0xa5; 512], vec![0xa5; 512]));
        scene.initiators.iter_mut().for_each(|initiator| initiator.disconnect(0));
        scene.rig.check_nothing_leaked();
    }
}

/// Its medium is of no use then, but for what is made of its device next.
#[test]
fn the_removal_of_its_unit_ends_a_sanitize_operation() {
    let bdev = malloc("ram0", BLOCKS);
    for (immediate, held) in [(IMMED, true), (IMMED, false), (0, true)] {
        let mut scene = Scene::new(87, &bdev, 16);
        scene.held = true;
        let task = scene.start(0, &sanitize(immediate, 0xa5));
        scene.held = held;
        scene.rig.controller.remove_lun("tgt0", 0).expect("it is there");
        scene.run(3);
        scene.held = false;
        scene.run(10);
        let outcome = scene.initiators[0].take(task).expect("it has ended").answer();
        assert_eq!(outcome.key_and_code().is_some(), immediate == 0, "{outcome:?}");
        scene.end();
    }
}

/// The unit closes with the last command on it, in the middle of the round that polls devices.
#[test]
fn a_removed_unit_closes_with_its_last_orphan() {
    let mut scene = Scene::new(88, &malloc("ram0", BLOCKS), 16);
    scene.held = true;
    let read = scene.start(0, &Request::read(lun(0), 0, 8, BLOCK));
    assert_eq!(scene.manage(0, Function::AbortTask, Some(read)), Some(0));
    scene.rig.controller.remove_lun("tgt0", 0).expect("it is there");
    scene.run(50);
    scene.held = false;
    scene.run(50);
    assert!(scene.rig.groups.iter().all(|group| group.units.iter().all(Option::is_none)));
    scene.end();
}

#[test]
fn who_has_too_many_orphans_waits_for_the_end() {
    let mut scene = Scene::new(89, &malloc("ram0", BLOCKS), 4);
    scene.held = true;
    for _ in 0..4 {
        let read = scene.start(0, &Request::read(lun(0), 0, 8, BLOCK));
        assert_eq!(scene.manage(0, Function::AbortTask, Some(read)), Some(0));
    }
    let task = scene.start(0, &sanitize(IMMED, 0xa5));
    assert_eq!((scene.initiators[0].take(task), scene.ready(1)), (None, SANITIZE_IN_PROGRESS));
    scene.held = false;
    assert_eq!(scene.finish(0, task).status, 0);
    assert_eq!((scene.ready(1), scene.block(1, 0)), (None, vec![0xa5; 512]));
    scene.end();
}

#[test]
fn a_failed_sanitize_is_told_to_everybody_until_one_succeeds() {
    let bdev = bdev::error::create(&malloc("ram0", BLOCKS), None).expect("a device that fails");
    let mut scene = Scene::new(90, &bdev, 16);
    let failed = Some((3, 0x31, 0x03));
    for immediate in [0, IMMED] {
        let injection = Injection { error: ErrorType::Failure, num: 1, queue_depth: 0 };
        assert!(bdev::error::inject(&bdev, IoType::Write, injection));
        let told = scene.execute(0, &sanitize(immediate, 0xa5)).key_and_code();
        assert_eq!(told, failed.filter(|_| immediate == 0));
        scene.run(50);
        assert_eq!([scene.ready(0), scene.ready(1)], [failed; 2]);
        assert_eq!(
            scene.execute(1, &Request::new(lun(0), [0x48, 0x1f, 0, 0, 0, 0, 0, 0, 0, 0])).key_and_code(),
            Some((5, 0x24, 0))
        );
        assert_eq!(scene.execute(0, &sanitize(0, 0x5a)).status, 0);
        assert_eq!((scene.ready(1), scene.block(1, 0)), (None, vec![0x5a; 512]));
    }
    scene.end();
}

/// A failure that comes after the answer is told to who was answered, as a deferred error, and to nobody else.
#[test]
fn a_flush_that_fails_after_its_answer_is_told_with_the_next_command() {
    let file = std::env::temp_dir().join(format!("srpt-background-{}", std::process::id()));
    std::fs::write(&file, vec![0; 1 << 20]).expect("a file");
    let options = bdev::uring::UringOptions { name: "file0".into(), filename: file.clone(), ..Default::default() };
    let beneath = bdev::uring::create(options).expect("a device on a file");
    let bdev = bdev::error::create(&beneath, None).expect("a device that fails");
    let mut scene = Scene::new(91, &bdev, 16);
    scene.held = true;
    let injection = Injection { error: ErrorType::Failure, num: 1, queue_depth: 0 };
    assert!(bdev::error::inject(&bdev, IoType::Flush, injection));
    let flush = Request::new(lun(0), [0x35, 0x02, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(scene.execute(0, &flush).status, 0, "it is answered while the device is held");
    assert_eq!(scene.ready(0), None);
    scene.held = false;
    scene.run(20);
    let told = scene.execute(0, &Request::test_unit_ready(lun(0)));
    assert_eq!((told.status, told.sense[0], told.key_and_code()), (2, 0x71, Some((3, 0x0c, 0))));
    assert_eq!([scene.ready(0), scene.ready(1)], [None; 2]);
    scene.end();
    drop((bdev, beneath));
    std::fs::remove_file(file).expect("the file is there");
}

/// With room for protection information, which is used as type 1.
fn protected() -> Arc<Bdev> {
    let metadata = Some(bdev::Metadata::of(bdev::ProtectionType::Type1));
    let options =
        bdev::malloc::MallocOptions { name: "ram0".into(), num_blocks: BLOCKS, metadata, ..Default::default() };
    bdev::malloc::create(options).expect("a RAM disk")
}

/// To type 3.
fn format_to_type_3(immediate: u8) -> Request {
    Request::new(lun(0), [0x04, 0xd0, 0, 0, 0, 0]).data_out([1, immediate, 0, 0])
}

const TYPE_1: u8 = 0b0001;
const TYPE_3: u8 = 0b0101;

#[test]
fn a_format_to_another_type_of_protection_is_kept_and_told() {
    for immediate in [0, 0x02] {
        let bdev = protected();
        let mut scene = Scene::new(93, &bdev, 16);
        scene.execute(1, &write(0x11));
        assert_eq!(scene.protection(1), TYPE_1);
        scene.held = true;
        let task = scene.start(0, &format_to_type_3(immediate));
        assert_eq!(scene.ready(1), Some((2, 0x04, 0x04)));
        let answered = scene.initiators[0].take(task).map(|outcome| outcome.answer().status);
        assert_eq!(answered, (immediate != 0).then_some(0));
        scene.held = false;
        scene.run(100);
        if immediate == 0 {
            assert_eq!(scene.finish(0, task).status, 0);
        }
        assert_eq!([scene.ready(1), scene.ready(1), scene.ready(0)], [Some((6, 0x2a, 0x09)), None, None]);
        assert_eq!((scene.protection(0), scene.block(1, 0)), (TYPE_3, vec![0; 512]));
        // A unit that is made anew has it, too.
        scene.rig.controller.remove_lun("tgt0", 0).expect("it is there");
        scene.run(200);
        scene.rig.export(&bdev);
        (0..3).for_each(|_| {
            let _ = (scene.ready(0), scene.ready(1));
        });
        assert_eq!(scene.protection(1), TYPE_3);
        scene.end();
    }
}

/// At whatever moment somebody aborts it, or its initiator goes away: it goes to its end, and nothing is left over.
#[test]
fn a_format_to_another_type_of_protection_outlives_its_initiator() {
    for (immediate, aborts) in [(0, false), (0, true), (0x02, false)] {
        for rounds in 0..20 {
            let mut scene = Scene::new(94, &protected(), 16);
            let task = scene.initiators[0].start(0, &format_to_type_3(immediate)).expect("a credit");
            scene.run(rounds);
            match aborts {
                true => drop(scene.manage(0, Function::AbortTask, Some(task))),
                false => scene.initiators[0].disconnect(0),
            }
            scene.run(100);
            let told = [scene.ready(1), scene.ready(1)];
            let (begun, kept) = (told[0].is_some(), scene.protection(1) == TYPE_3);
            assert_eq!((told, begun), ([Some((6, 0x2a, 0x09)).filter(|_| kept), None], kept), "{rounds}");
            scene.check_credits(1);
            scene.initiators.iter_mut().for_each(|initiator| initiator.disconnect(0));
            scene.rig.check_nothing_leaked();
        }
    }
}
