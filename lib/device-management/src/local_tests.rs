use tempfile::TempDir;

use super::*;

/// A sysfs with these ports: device, number, state.
fn sysfs(ports: &[(&str, u8, &str)]) -> TempDir {
    let sysfs = tempfile::tempdir().expect("a folder");
    for (device, number, state) in ports {
        let folder = sysfs.path().join(device).join("ports").join(number.to_string());
        for (file, text) in [
            ("link_layer", "InfiniBand"),
            ("state", state),
            ("gids/0", "fe80:0000:0000:0000:0000:0000:0010:0005"),
            ("sm_lid", "0x1"),
            ("sm_sl", "3"),
            ("pkeys/0", "0x0000"),
            ("pkeys/1", "0xffff"),
            ("pkeys/2", "0x7fff"),
        ] {
            let file = folder.join(file);
            fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
            fs::write(file, format!("{text}\n")).expect("a file");
        }
    }
    sysfs
}

fn find(sysfs: &TempDir, device: Option<&str>, port: Option<u8>, pkey: u16) -> Result<Port, Error> {
    Port::find(sysfs.path(), &Selection { device: device.map(str::to_owned), port, pkey })
}

#[test]
fn the_first_active_port_is_taken_or_the_one_that_is_named() {
    let sysfs = sysfs(&[("mlx5_0", 1, "1: DOWN"), ("mlx5_1", 2, "4: ACTIVE"), ("mlx5_1", 1, "4: ACTIVE")]);
    let port = find(&sysfs, None, None, 0xffff).expect("a port");
    assert_eq!(port.name.to_string(), "mlx5_1/1");
    let manager = Destination { lid: 1, service_level: 3 };
    assert_eq!(port.local, Local { gid: 0xfe80_0000_0000_0000_0000_0000_0010_0005, manager, pkey: 0xffff });
    assert_eq!(port.pkey_index, 1);
    assert_eq!(find(&sysfs, Some("mlx5_1"), Some(2), 0x7fff).expect("a port").name.to_string(), "mlx5_1/2");
}

#[test]
fn what_is_wrong_with_the_ports_is_said() {
    let sysfs = sysfs(&[("mlx5_0", 1, "1: DOWN"), ("mlx5_1", 1, "4: ACTIVE")]);
    let message = |device, port, pkey| find(&sysfs, device, port, pkey).expect_err("no such port").to_string();
    let text = message(Some("mlx5_0"), Some(1), 0xffff);
    assert!(text.contains("active of the device mlx5_0 with the number 1; "), "{text}");
    let text = message(None, None, 0x8001);
    assert!(text.contains("the port mlx5_1/1 is not in the partition 8001"), "{text}");
    fs::write(sysfs.path().join("mlx5_1/ports/1/sm_lid"), "many").expect("a file");
    let text = message(None, None, 0xffff);
    assert!(text.contains("ports/1/sm_lid cannot be read, or is not"), "{text}");
}

#[test]
fn a_file_that_may_not_be_opened_is_told_from_one_that_is_not_there() {
    let name = PortName { device: "mlx5_0".into(), number: 1 };
    let message = |error: io::ErrorKind| explained(&name, OpenError::Open(error.into())).to_string();
    assert!(message(io::ErrorKind::PermissionDenied).contains("run this as root"));
    assert!(message(io::ErrorKind::NotFound).contains("modprobe ib_umad"));
}
