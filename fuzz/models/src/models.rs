//! The models. Each panics if what it is about happens in any order of steps.

use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;
use reactor::Waker;

use crate::announcement::Announcement;
use crate::exclusion::{Board, Claims, Extent, Kind};
use crate::ring::ring;
use crate::session::UnitId;

/// Explores a model with so many changes of threads where none is forced: most mistakes need one or two, and all of them take too long.
fn explore(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// Messages are sent while a reactor goes to sleep. It sees them in its last look, or is woken.
pub fn no_wake_up_is_lost() {
    loom::model(|| {
        let announcement = Arc::new(Announcement::awake());
        let message = Arc::new(AtomicBool::new(false));
        let file = Arc::new(AtomicBool::new(false));
        let sender = {
            let (announcement, message, file) = (Arc::clone(&announcement), Arc::clone(&message), Arc::clone(&file));
            thread::spawn(move || {
                message.store(true, Ordering::Relaxed);
                if announcement.wake() {
                    file.store(true, Ordering::Release);
                }
            })
        };
        announcement.announce();
        let found = message.load(Ordering::Relaxed);
        sender.join().expect("no panic");
        // All has been said: what is not found now would wait until the sleep runs out.
        let woken = file.load(Ordering::Acquire) || !announcement.stands();
        assert!(found || woken, "the reactor sleeps on a message");
    });
}

/// Two wake a reactor that sleeps: one of them at least makes its file readable, and what either has sent is seen after that.
pub fn a_woken_reactor_sees_what_was_sent() {
    loom::model(|| {
        let announcement = Arc::new(Announcement::awake());
        let messages: [Arc<AtomicBool>; 2] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        announcement.announce();
        let senders = messages.clone().map(|message| {
            let announcement = Arc::clone(&announcement);
            thread::spawn(move || {
                message.store(true, Ordering::Relaxed);
                announcement.wake()
            })
        });
        // Anything may have happened by now: the state that is replaced tells of what is to be seen.
        if !announcement.stands() {
            announcement.announce();
            assert!(messages.iter().any(|message| message.load(Ordering::Relaxed)), "woken for nothing");
        }
        let writes = senders.map(|sender| sender.join().expect("no panic"));
        assert!(writes.iter().any(|&wrote| wrote), "nobody ended the sleep");
    });
}

/// A record whose words hang together.
fn record(number: u64) -> [u64; 2] {
    [number, !number]
}

/// A reader looks at a ring of two slots while the writer goes round: nothing torn, nothing missing that is not counted as lost.
pub fn no_record_is_torn() {
    explore(3, || {
        let (mut writer, reader) = ring::<2>(2);
        writer.write(record(0));
        let writing = thread::spawn(move || (1..4).for_each(|number| writer.write(record(number))));
        let found = reader.read(0);
        for read in &found.records {
            assert_eq!(*read, record(read[0]), "a torn record");
        }
        let numbers: Vec<u64> = found.records.iter().map(|read| read[0]).collect();
        assert_eq!(numbers, (found.lost..found.next).collect::<Vec<_>>());
        writing.join().expect("no panic");
    });
}

const UNIT: UnitId = UnitId(3);

/// Boxed: the stacks of loom's threads are small.
fn groups() -> [Box<Claims>; 2] {
    let board = Board::new(vec![Waker::new(), Waker::new()]);
    [(); 2].map(|()| Box::new(Claims::new(Arc::clone(&board))))
}

/// One round of a group with nothing under way.
fn round(group: &mut Claims) {
    group.look();
    if group.owes() {
        group.acknowledge(|_| true);
    }
}

/// Two groups claim overlapping blocks. They never have them at the same time.
pub fn overlapping_claims_are_never_granted_at_once() {
    explore(3, || {
        let inside = Arc::new(AtomicU64::new(0));
        let work = |mut group: Box<Claims>, extent: Extent, inside: Arc<AtomicU64>| {
            let claim = group.publish(Kind::Range, UNIT, extent).expect("room");
            for _ in 0..2 {
                round(&mut group);
                if group.is_granted(claim) {
                    assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0, "two are in their blocks at once");
                    inside.fetch_sub(1, Ordering::Relaxed);
                    return group.release(claim);
                }
            }
        };
        let [one, other] = groups();
        let others = Arc::clone(&inside);
        let thread = thread::spawn(move || work(other, Extent { start: 5, end: 15 }, others));
        work(one, Extent { start: 0, end: 10 }, inside);
        thread.join().expect("no panic");
    });
}

/// A group claims blocks while another starts and ends operations there. None is under way while the claim is granted, and what it wrote is there.
pub fn a_claim_and_what_it_forbids_are_never_under_way_at_once() {
    explore(2, || {
        let medium = Arc::new(Mutex::new(0_u64));
        let busy = Arc::new(AtomicU64::new(0));
        let [mut claimant, mut other] = groups();
        let thread = {
            let (medium, busy) = (Arc::clone(&medium), Arc::clone(&busy));
            thread::spawn(move || {
                for _ in 0..2 {
                    other.look();
                    let starts = !other.forbids(UNIT, Extent { start: 4, end: 6 }, None);
                    if starts {
                        busy.store(1, Ordering::Relaxed);
                    }
                    // It is under way when the claim may be acknowledged, and must not be.
                    other.look();
                    if other.owes() {
                        other.acknowledge(|_| !starts);
                    }
                    if starts {
                        *medium.lock().expect("no panic") += 1;
                        busy.store(0, Ordering::Relaxed);
                    }
                }
                round(&mut other);
            })
        };
        let claim = claimant.publish(Kind::Range, UNIT, Extent { start: 0, end: 10 }).expect("room");
        for _ in 0..2 {
            round(&mut claimant);
            if claimant.is_granted(claim) {
                // Relaxed: only the board orders it.
                assert_eq!(busy.load(Ordering::Relaxed), 0, "an operation is under way in claimed blocks");
                break;
            }
        }
        claimant.release(claim);
        thread.join().expect("no panic");
    });
}
