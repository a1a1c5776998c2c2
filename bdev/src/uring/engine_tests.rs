use std::io::Error;

use super::*;

fn refused(errno: i32) -> impl Fn() -> io::Result<()> {
    move || Err(Error::from_raw_os_error(errno))
}

fn allowed() -> io::Result<()> {
    Ok(())
}

fn never() -> io::Result<()> {
    panic!("nobody asked for this one")
}

#[test]
fn io_uring_is_used_where_it_is_allowed_and_aio_where_it_is_not() {
    for wanted in [Engine::Auto, Engine::Uring] {
        assert_eq!(choose(wanted, "disk", allowed, never).expect("allowed"), Engine::Uring);
    }
    for errno in [libc::EPERM, libc::ENOSYS, libc::EINVAL] {
        assert_eq!(choose(Engine::Auto, "disk", refused(errno), allowed).expect("allowed"), Engine::Aio);
    }
    assert_eq!(choose(Engine::Aio, "disk", never, allowed).expect("allowed"), Engine::Aio);
}

#[test]
fn an_engine_that_was_asked_for_is_that_or_an_error() {
    let text = |outcome: Result<Engine, CreateError>| outcome.expect_err("must be refused").to_string();
    let said = text(choose(Engine::Uring, "disk", refused(libc::EPERM), never));
    assert!(said.starts_with("io_uring is refused") && said.contains("kernel.io_uring_disabled"), "{said}");
    let said = text(choose(Engine::Aio, "disk", never, refused(libc::ENOSYS)));
    assert!(said.starts_with("Linux AIO is refused") && said.contains("fs.aio-max-nr"), "{said}");
    let said = text(choose(Engine::Auto, "disk", refused(libc::EPERM), refused(libc::ENOSYS)));
    assert!(said.contains("io_uring is refused") && said.contains("Linux AIO is refused"), "{said}");
}

#[test]
fn a_context_that_is_refused_names_the_sysctl() {
    let said = aio_refused("disk".to_owned(), 128, Error::from_raw_os_error(libc::EAGAIN)).to_string();
    assert!(
        said.contains("bdev disk") && said.contains("depth 128") && said.contains("fs.aio-max-nr (sysctl, now "),
        "{said}"
    );
    let (most, taken) = aio::limits();
    assert!(most.parse::<u64>().is_ok() && taken.parse::<u64>().is_ok(), "{most} {taken}");
}
