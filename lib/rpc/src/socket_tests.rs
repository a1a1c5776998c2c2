use std::os::unix::net::UnixStream;

use super::*;

const OWNER: Access = Access { mode: 0o600, group: None };

/// A folder and the path of a socket in it.
fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("target.sock");
    (folder, path)
}

fn mode_of(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn the_socket_has_the_mode_asked_for_whatever_the_umask() {
    for mode in [0o600, 0o660, 0o666] {
        let (_folder, path) = place();
        let _bound = bind(&path, Access { mode, group: None }).unwrap();
        assert_eq!(mode_of(&path), mode);
    }
}

#[test]
fn a_group_gets_the_socket_or_a_message_that_names_it() {
    let (folder, path) = place();
    let own = std::fs::metadata(folder.path()).unwrap().gid();
    let is_root = rustix::process::geteuid().is_root();
    let other = own + 4242;
    match bind(&path, Access { mode: 0o660, group: Some(other) }) {
        Ok(_bound) if is_root => assert_eq!((mode_of(&path), std::fs::metadata(&path).unwrap().gid()), (0o660, other)),
        Err(error @ BindError::Group { .. }) if !is_root => {
            assert!(error.to_string().contains(&other.to_string()), "{error}");
            assert!(!path.exists(), "nobody is let in who should not be");
        }
        other => panic!("{other:?}"),
    }
    let (_folder, path) = place();
    let _bound = bind(&path, Access { mode: 0o660, group: Some(own) }).unwrap();
    assert_eq!((mode_of(&path), std::fs::metadata(&path).unwrap().gid()), (0o660, own));
}

#[test]
fn the_socket_and_its_lock_go_with_it() {
    let (folder, path) = place();
    let (bound, listener) = bind(&path, OWNER).unwrap();
    UnixStream::connect(&path).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    drop((bound, listener));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_second_instance_is_refused_and_told_who_is_there() {
    let (_folder, path) = place();
    let (_bound, _listener) = bind(&path, OWNER).unwrap();
    let message = bind(&path, OWNER).unwrap_err().to_string();
    for part in [format!("process {}", std::process::id()), path.display().to_string(), "-r PATH".to_owned()] {
        assert!(message.contains(&part), "{part} in {message}");
    }
    UnixStream::connect(&path).expect("the first instance is unharmed");
}

#[test]
fn the_socket_of_a_dead_instance_is_replaced() {
    let (_folder, path) = place();
    drop(UnixListener::bind(&path).unwrap()); // leaves its file, as a killed process does
    std::fs::write(path.with_extension("sock.lock"), "4242\n").unwrap();
    let _bound = bind(&path, OWNER).unwrap();
    UnixStream::connect(&path).unwrap();
}

#[test]
fn a_listener_without_a_lock_is_left_alone() {
    let (_folder, path) = place();
    let _foreign = UnixListener::bind(&path).unwrap();
    assert!(matches!(bind(&path, OWNER), Err(BindError::AlreadyServed { holder: None, .. })));
    UnixStream::connect(&path).unwrap();
}

#[test]
fn a_listener_with_a_full_backlog_counts_as_alive() {
    let (_folder, path) = place();
    let socket = new_socket().unwrap();
    rustix::net::bind(&socket, &SocketAddrUnix::new(&path).unwrap()).unwrap();
    rustix::net::listen(&socket, 0).unwrap();
    let _waiting = UnixStream::connect(&path).unwrap();
    assert!(matches!(bind(&path, OWNER), Err(BindError::AlreadyServed { .. })));
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let (_folder, path) = place();
    std::fs::write(&path, "precious").unwrap();
    assert!(matches!(bind(&path, OWNER), Err(BindError::NotASocket { .. })));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn a_file_that_took_the_place_of_the_socket_is_left_alone() {
    let (_folder, path) = place();
    let bound = bind(&path, OWNER).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "precious").unwrap();
    drop(bound);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn a_lock_that_is_a_link_is_not_followed() {
    let (folder, path) = place();
    let precious = folder.path().join("precious");
    std::fs::write(&precious, "precious").unwrap();
    std::os::unix::fs::symlink(&precious, path.with_extension("sock.lock")).unwrap();
    assert!(matches!(bind(&path, OWNER), Err(BindError::Lock { .. })));
    assert_eq!(std::fs::read_to_string(&precious).unwrap(), "precious");
}

#[test]
fn impossible_paths_are_explained() {
    let long = PathBuf::from(format!("/tmp/{}", "x".repeat(200)));
    assert!(matches!(bind(&long, OWNER), Err(BindError::PathTooLong { .. })));
    let nowhere = Path::new("/no/such/folder/sock");
    assert!(bind(nowhere, OWNER).unwrap_err().to_string().contains("/no/such/folder/sock.lock"));
}
