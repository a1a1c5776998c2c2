use std::fs::File;
use std::io::{Read, Seek};
use std::sync::mpsc::channel;
use std::time::Instant;

use super::*;

fn helper(file: &File) -> Helper {
    let fd = file.try_clone().expect("another descriptor");
    Helper::start("disk").expect("a thread").serve(Arc::new(fd.into()))
}

/// A call that hangs until the sender is used or dropped. When this returns, the thread is in it.
fn hang(port: &mut Port, id: u32) -> Sender<()> {
    let (sender, until) = channel();
    port.call(id, Call::Hang(until));
    while !port.shared.jobs.is_empty() {
        thread::yield_now();
    }
    sender
}

fn wait(port: &mut Port) -> (u32, i64) {
    let started = Instant::now();
    loop {
        if let Some(answer) = port.take() {
            return answer;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "no answer");
        thread::yield_now();
    }
}

/// A file of 1 MiB: data in its first and third block of 64 KiB.
fn file() -> File {
    use std::os::unix::fs::FileExt;
    let file = tempfile::tempfile().expect("a file for a test");
    file.set_len(1 << 20).expect("its length");
    for at in [0, 128 << 10] {
        file.write_all_at(&[0x77; 64 << 10], at).expect("data");
    }
    file
}

#[test]
fn calls_do_what_their_names_say() {
    let mut file = file();
    let helper = helper(&file);
    let mut port = Port::new(&helper, 4);
    let mut call = |call| {
        port.call(9, call);
        let (id, answer) = wait(&mut port);
        assert_eq!(id, 9);
        answer
    };
    let mut block = [0; 4096];
    // SAFETY: `block` lives on, and nobody uses it before the answer is there.
    let to = unsafe { Lent::new(block.as_mut_ptr(), block.len()) };
    assert_eq!(call(Call::Read { offset: 128 << 10, to }), 4096);
    assert_eq!(block, [0x77; 4096]);
    for (at, dsync) in [(4096, false), (8192, true)] {
        let data = [at as u8 + 1 + u8::from(dsync); 512];
        // SAFETY: `data` lives on, and nobody uses it before the answer is there.
        let from = unsafe { Lent::new(data.as_ptr().cast_mut(), data.len()) };
        assert_eq!(call(Call::Write { offset: at, from, dsync }), 512);
    }
    assert_eq!(call(Call::Sync), 0);
    assert_eq!(call(Call::FindData { offset: 70 << 10 }), 128 << 10);
    assert_eq!(call(Call::FindData { offset: 500 << 10 }), 1 << 20);
    assert_eq!(call(Call::FindHole { offset: 0 }), 64 << 10);
    assert_eq!(call(Call::FindHole { offset: 1 << 20 }), -i64::from(libc::ENXIO));
    assert_eq!(call(Call::PunchHole { offset: 128 << 10, len: 64 << 10 }), 0);
    assert_eq!(call(Call::FindData { offset: 70 << 10 }), 1 << 20);
    assert_eq!(call(Call::ZeroRange { offset: 0, len: 4096 }), 0);
    let mut content = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut content)).expect("content");
    assert!(content[..4096].iter().all(|&byte| byte == 0));
    assert!(content[4096..4608].iter().all(|&byte| byte == 1) && content[8192..8704].iter().all(|&byte| byte == 2));
    assert!(content[8704..64 << 10].iter().all(|&byte| byte == 0x77));
    assert!(content.len() == 1 << 20 && content[64 << 10..].iter().all(|&byte| byte == 0));
}

#[test]
fn a_thread_that_was_given_no_file_ends() {
    let helper = Helper::start("disk").expect("a thread");
    let shared = Arc::downgrade(&helper.shared);
    drop(helper);
    let started = Instant::now();
    while shared.upgrade().is_some() {
        assert!(started.elapsed() < Duration::from_secs(60), "it is still there");
        thread::yield_now();
    }
}

#[test]
fn a_file_whose_calls_hang_holds_up_no_other() {
    let (stuck, well) = (file(), file());
    let (stuck, well) = (helper(&stuck), helper(&well));
    let (mut stuck, mut well) = (Port::new(&stuck, 1), Port::new(&well, 1));
    let release = hang(&mut stuck, 1);
    for id in 0..100 {
        well.call(id, Call::FindHole { offset: 0 });
        assert_eq!(wait(&mut well), (id, 64 << 10));
    }
    assert_eq!((stuck.take(), stuck.outstanding()), (None, 1));
    release.send(()).expect("still hanging");
    assert_eq!(wait(&mut stuck), (1, 1));
}

#[test]
fn jobs_beyond_the_thread_s_room_wait_at_their_channel_in_order() {
    let file = file();
    let helper = helper(&file);
    let count = JOBS_MAX as u32 + 100;
    let (mut first, mut second) = (Port::new(&helper, count as usize), Port::new(&helper, 8));
    let release = hang(&mut first, 0);
    for id in 1..count {
        first.call(id, Call::FindHole { offset: 0 });
    }
    second.call(7, Call::FindHole { offset: 0 });
    assert_eq!((first.waiting.len(), second.waiting.len()), (99, 1));
    assert_eq!((second.take(), second.outstanding(), first.outstanding()), (None, 1, count as usize));
    drop(release);
    for id in 0..count {
        assert_eq!(wait(&mut first).0, id);
    }
    assert_eq!(wait(&mut second), (7, 64 << 10));
    assert_eq!((first.take(), first.outstanding(), second.outstanding()), (None, 0, 0));
}

/// What the thread was not given can be taken back; what it was given ends.
#[test]
fn jobs_that_wait_at_their_channel_can_be_taken_back() {
    let file = file();
    let helper = helper(&file);
    let mut port = Port::new(&helper, JOBS_MAX + 10);
    let release = hang(&mut port, 0);
    for id in 1..JOBS_MAX as u32 + 5 {
        port.call(id, Call::Sync);
    }
    let waiting = std::iter::from_fn(|| port.take_back()).count();
    assert_eq!(waiting, 4);
    drop(release);
    for _ in 0..JOBS_MAX + 5 - waiting {
        wait(&mut port);
    }
    assert_eq!(port.outstanding(), 0);
}

#[test]
fn the_end_of_a_file_lets_go_of_it_at_once_unless_a_call_hangs() {
    let path = tempfile::NamedTempFile::new().expect("a file for a test");
    let lock = || {
        let file = File::open(path.path()).expect("there");
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).map(|()| file)
    };
    let file = lock().expect("free");
    let idle = helper(&file);
    drop(file);
    assert!(lock().is_err(), "the thread has it");
    drop(idle);
    let file = lock().expect("free again");
    let busy = helper(&file);
    drop(file);
    let mut port = Port::new(&busy, 4);
    let release = hang(&mut port, 0);
    port.call(1, Call::Sync);
    drop(busy);
    assert!(lock().is_err(), "a call that hangs may still write");
    drop(release);
    assert_eq!(wait(&mut port).0, 0);
    assert_eq!(port.outstanding(), 1, "the other call was not begun");
    let started = Instant::now();
    while lock().is_err() {
        assert!(started.elapsed() < Duration::from_secs(60), "it ends with the call");
        thread::yield_now();
    }
}
