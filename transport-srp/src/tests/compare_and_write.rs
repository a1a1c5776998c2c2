//! COMPARE AND WRITE and ORWRITE from several cores at the same blocks: none of them sees another half done.

use fabric::sim::SimOptions;

use super::*;
use crate::testing::Handle;

const CORES: usize = 3;
/// More than one piece, so that a command is at the device often enough to be interrupted by others.
const BLOCKS: u8 = 200;

struct Scene {
    rig: Rig,
    initiators: Vec<Initiator>,
}

impl Scene {
    fn new(seed: u64) -> Scene {
        let delays = Duration::ZERO..=Duration::from_micros(40);
        let mut rig = Rig::new(seed, CORES, SimOptions { read_delay: delays, ..SimOptions::default() }, 32);
        rig.export(&malloc("ram0", 4096));
        let mut initiators = Vec::new();
        for number in 0..CORES {
            let mut initiator = rig.initiator(number as u8 + 1);
            let channel = rig.login(&mut initiator, MultiChannel::Single);
            rig.clear_attention(&mut initiator, channel, 0);
            initiators.push(initiator);
        }
        Scene { rig, initiators }
    }

    fn step(&mut self) {
        self.rig.step();
        for initiator in &mut self.initiators {
            initiator.poll();
        }
    }

    fn read(&mut self, of: usize) -> Vec<u8> {
        let rig = &mut self.rig;
        self.initiators[of].execute(0, &Request::read(lun(0), 0, BLOCKS.into(), BLOCK), &mut || rig.step()).good().data
    }

    fn end(mut self) {
        assert_eq!(self.rig.network.violations(), vec![]);
        self.initiators.iter_mut().for_each(|initiator| initiator.disconnect(0));
        self.rig.check_nothing_leaked();
    }
}

/// Blocks that hold this number.
fn number(of: u32) -> Vec<u8> {
    of.to_be_bytes().repeat(usize::from(BLOCKS) * 128)
}

fn compare_and_write(old: u32, new: u32) -> Request {
    let cdb = [0x89, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, BLOCKS, 0, 0];
    Request::new(lun(0), cdb).data_out([number(old), number(new)].concat())
}

/// Everybody counts up from what it last saw; who lost is told where the first difference is. Each step is taken exactly once.
#[test]
fn a_counter_that_all_cores_count_up_misses_no_step() {
    let mut scene = Scene::new(95);
    let mut seen = [0_u32; CORES];
    let mut running: [Option<Handle>; CORES] = [None; CORES];
    let (mut won, mut lost) = (0, 0);
    while won < 200 {
        for of in 0..CORES {
            match running[of].and_then(|handle| scene.initiators[of].take(handle)) {
                None if running[of].is_some() => continue,
                None => {}
                Some(outcome) => {
                    let answer = outcome.answer();
                    if answer.status == 0 {
                        (won, seen[of]) = (won + 1, seen[of] + 1);
                    } else {
                        assert_eq!(answer.key_and_code(), Some((0xe, 0x1d, 0)));
                        // VALID, and INFORMATION: the first byte that differs, in the first number.
                        assert!(answer.sense[0] == 0xf0 && answer.sense[3..6] == [0; 3] && answer.sense[6] < 4);
                        lost += 1;
                        let now = scene.read(of);
                        assert!(now == now[..4].repeat(now.len() / 4), "all blocks change at once");
                        seen[of] = u32::from_be_bytes(*now.first_chunk().expect("blocks"));
                    }
                }
            }
            let request = compare_and_write(seen[of], seen[of] + 1);
            running[of] = Some(scene.initiators[of].start(0, &request).expect("a credit"));
        }
        scene.step();
    }
    (0..400).for_each(|_| scene.step());
    let more = (0..CORES).filter(|&of| {
        let answer = running[of].and_then(|handle| scene.initiators[of].take(handle)).expect("it has ended").answer();
        answer.status == 0
    });
    let won = won + more.count() as u32;
    assert!(lost > 20, "they get in each other's way: {lost}");
    assert!(scene.read(0) == number(won), "{won} steps were taken");
    scene.end();
}

#[test]
fn bits_that_all_cores_set_are_all_there() {
    let mut scene = Scene::new(96);
    let mut running = Vec::new();
    for bit in 0..8192 / 64 {
        let of = bit % CORES;
        let mut data = vec![0; 1024];
        data[bit * 8] = 1 << (bit % 8);
        let cdb = [0x8b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0];
        let request = Request::new(lun(0), cdb).data_out(data);
        running.push((
            of,
            scene.initiators[of].start(0, &request).unwrap_or_else(|_| {
                (0..400).for_each(|_| scene.step());
                scene.initiators[of].start(0, &request).expect("a credit")
            }),
        ));
    }
    (0..2000).for_each(|_| scene.step());
    for (of, handle) in running {
        scene.initiators[of].take(handle).expect("it has ended").good();
    }
    let mut expected = vec![0; 1024];
    (0..128).for_each(|bit| expected[bit * 8] = 1 << (bit % 8));
    assert!(scene.read(0)[..1024] == expected, "bits are lost");
    scene.end();
}

/// Whoever has the blocks in the middle of its command, and whoever waits for them, ends; what is at the device ends first, and everybody is told
/// before that.
#[test]
fn a_sanitize_operation_comes_after_what_is_at_the_device_and_ends_what_is_not() {
    const SANITIZE_IN_PROGRESS: Option<(u8, u8, u8)> = Some((2, 0x04, 0x1b));
    let mut scene = Scene::new(97);
    let hold = |scene: &mut Scene, held| scene.rig.groups.iter_mut().for_each(|group| group.devices_held = held);
    let start = |scene: &mut Scene, of: usize, request: &Request| {
        let handle = scene.initiators[of].start(0, request).expect("a credit");
        (0..60).for_each(|_| scene.step());
        handle
    };
    hold(&mut scene, true);
    let write = start(&mut scene, 1, &Request::write(lun(0), 640, BLOCK, vec![0x11; 4096]));
    let reading = start(&mut scene, 1, &compare_and_write(0, 1));
    let waiting = start(&mut scene, 2, &compare_and_write(0, 2));
    let sanitize = Request::new(lun(0), [0x48, 0x81, 0, 0, 0, 0, 0, 0, 5, 0]).data_out([1, 0, 0, 1, 0xa5]);
    let sanitize = start(&mut scene, 0, &sanitize);
    assert_eq!(scene.initiators[0].take(sanitize).expect("it is answered").answer().status, 0);
    assert_eq!(scene.initiators[2].take(waiting).expect("it has ended").answer().key_and_code(), SANITIZE_IN_PROGRESS);
    let at_device: usize = scene
        .rig
        .groups
        .iter()
        .flat_map(|group| group.units.iter().flatten())
        .map(|unit| unit.device.as_ref().map_or(0, bdev::Channel::in_flight))
        .sum();
    assert_eq!(at_device, 2, "nothing of the sanitize operation is at the device yet");
    hold(&mut scene, false);
    (0..400).for_each(|_| scene.step());
    assert_eq!(scene.initiators[1].take(write).expect("it has ended").answer().status, 0);
    assert_eq!(scene.initiators[1].take(reading).expect("it has ended").answer().key_and_code(), SANITIZE_IN_PROGRESS);
    assert!(scene.read(1) == vec![0xa5; usize::from(BLOCKS) * 512], "it was sanitized after the command");
    let rig = &mut scene.rig;
    let read = scene.initiators[1].execute(0, &Request::read(lun(0), 640, 8, BLOCK), &mut || rig.step()).good();
    assert_eq!(read.data, [0xa5; 4096], "no write came after it");
    scene.end();
}
