use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::*;
use crate::agent::Settings;

/// What the ports of a test hold, by device.
#[derive(Default, Debug)]
struct Wire {
    /// Errors that opening ends with, one a time.
    refusals: VecDeque<OpenError>,
    /// What comes; an error is a port that is gone.
    arrivals: VecDeque<io::Result<Vec<u8>>>,
    answers: Vec<(u8, Vec<u8>)>,
    refuses_answers: bool,
    opened: usize,
    is_open: bool,
}

thread_local! {
    static WIRES: RefCell<BTreeMap<String, Rc<RefCell<Wire>>>> = RefCell::default();
}

fn wire(device: &str) -> Rc<RefCell<Wire>> {
    WIRES.with_borrow_mut(|wires| Rc::clone(wires.entry(device.to_owned()).or_default()))
}

#[derive(Debug)]
struct Double(Rc<RefCell<Wire>>);

impl Exchange for Double {
    fn receive(&mut self) -> io::Result<Option<Datagram>> {
        let arrival = self.0.borrow_mut().arrivals.pop_front();
        arrival.map(|arrival| arrival.map(|mad| Datagram { header: [42; _], mad })).transpose()
    }

    fn answer(&mut self, to: &[u8; HEADER_BYTES], mad: &[u8; MAD_BYTES]) -> io::Result<()> {
        let mut wire = self.0.borrow_mut();
        if wire.refuses_answers {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        wire.answers.push((to[0], mad.to_vec()));
        Ok(())
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.0.borrow_mut().is_open = false;
    }
}

fn open(device: &str, _number: u8) -> Result<Box<dyn Exchange>, OpenError> {
    let shared = wire(device);
    let mut wire = shared.borrow_mut();
    if let Some(error) = wire.refusals.pop_front() {
        return Err(error);
    }
    (wire.opened, wire.is_open) = (wire.opened + 1, true);
    drop(wire);
    Ok(Box::new(Double(shared)))
}

fn add_port(sysfs: &Path, device: &str, number: &str, link: Option<&str>) {
    let folder = sysfs.join(device).join("ports").join(number);
    fs::create_dir_all(&folder).expect("a folder");
    if let Some(link) = link {
        fs::write(folder.join("link_layer"), link).expect("a file");
    }
}

fn directory() -> Directory {
    let settings =
        Settings { service_ids: vec![1], send_queue_depth: 1, rdma_read_depth: 1, send_bytes: 1, rdma_bytes: 1 };
    Directory::new(settings)
}

fn request(attribute: u8) -> io::Result<Vec<u8>> {
    let mut mad = vec![0; MAD_BYTES];
    mad[..4].copy_from_slice(&[1, 6, 1, 1]);
    mad[17] = attribute;
    Ok(mad)
}

fn is_open(device: &str) -> bool {
    wire(device).borrow().is_open
}

#[test]
fn only_infiniband_ports_are_served() {
    let sysfs = tempfile::tempdir().expect("a folder");
    assert!(infiniband_ports(&sysfs.path().join("nothing")).is_empty());
    add_port(sysfs.path(), "mlx4_0", "1", Some("InfiniBand\n"));
    add_port(sysfs.path(), "mlx4_0", "2", Some("Ethernet\n"));
    add_port(sysfs.path(), "mlx4_0", "other", None);
    add_port(sysfs.path(), "old", "1", None);
    let mut names: Vec<_> = infiniband_ports(sysfs.path()).iter().map(PortName::to_string).collect();
    names.sort();
    assert_eq!(names, ["mlx4_0/1", "old/1"]);
}

#[test]
fn ports_come_and_go_and_come_again() {
    let sysfs = tempfile::tempdir().expect("a folder");
    let mut ports = Ports::new(sysfs.path().into(), open);
    ports.look();
    assert!(!ports.poll(&directory()));
    add_port(sysfs.path(), "a", "1", None);
    add_port(sysfs.path(), "b", "1", None);
    ports.look();
    ports.look();
    assert_eq!((wire("a").borrow().opened, wire("b").borrow().opened), (1, 1), "a port is opened once");
    fs::remove_dir_all(sysfs.path().join("a")).expect("it is there");
    ports.look();
    assert!(!is_open("a") && is_open("b"));
    add_port(sysfs.path(), "a", "1", None);
    ports.look();
    assert!(is_open("a"));
    // It fails between two looks: another device of the same name may stand there at the next.
    wire("a").borrow_mut().arrivals.push_back(Err(io::ErrorKind::Other.into()));
    ports.poll(&directory());
    assert!(!is_open("a") && is_open("b"));
    ports.look();
    assert_eq!((wire("a").borrow().opened, is_open("a")), (3, true));
}

#[test]
fn ports_are_left_to_others_when_there_is_nothing_to_tell() {
    let sysfs = tempfile::tempdir().expect("a folder");
    let mut ports = Ports::new(sysfs.path().into(), open);
    ports.leave();
    add_port(sysfs.path(), "left", "1", None);
    ports.look();
    assert!(is_open("left"));
    ports.leave();
    assert!(!is_open("left"));
    ports.look();
    assert!(is_open("left"), "and taken again");
}

#[test]
fn a_port_that_is_refused_is_tried_again_at_each_look() {
    let sysfs = tempfile::tempdir().expect("a folder");
    add_port(sysfs.path(), "taken", "1", None);
    let refusal = || OpenError::Register(io::ErrorKind::InvalidInput.into());
    let text = refusal().to_string();
    assert!(
        text.contains("another agent") && text.contains("ib_srpt") && text.contains("--device-management"),
        "{text}"
    );
    wire("taken").borrow_mut().refusals.extend([refusal(), refusal()]);
    let mut ports = Ports::new(sysfs.path().into(), open);
    ports.look();
    ports.look();
    assert!(!ports.poll(&directory()) && !is_open("taken"));
    ports.look();
    assert!(is_open("taken"));
}

#[test]
fn requests_are_answered_to_their_senders_and_counted() {
    let sysfs = tempfile::tempdir().expect("a folder");
    add_port(sysfs.path(), "a", "1", None);
    let mut ports = Ports::new(sysfs.path().into(), open);
    ports.look();
    assert_eq!(ports.counts().collect::<Vec<_>>(), [("a/1".to_owned(), Counts::default())]);
    let shared = wire("a");
    shared.borrow_mut().arrivals.extend([request(0x10), request(0x99), Ok(vec![1; 100]), Ok(Vec::new())]);
    assert!(ports.poll(&directory()));
    {
        let mut wire = shared.borrow_mut();
        assert!(wire.answers.iter().all(|(to, _)| *to == 42));
        let status = |at: usize| [wire.answers[at].1[4], wire.answers[at].1[5]];
        assert_eq!((wire.answers.len(), status(0), status(1)), (2, [0, 0], [0, 0x0c]));
        wire.refuses_answers = true;
        wire.arrivals.push_back(request(0x01));
    }
    assert!(ports.poll(&directory()));
    let expected = Counts { answered: 1, refused: 1, ignored: 2, unsent: 1 };
    assert_eq!(ports.counts().next(), Some(("a/1".to_owned(), expected)));
    assert!(!ports.poll(&directory()));
}

#[test]
fn a_flood_is_answered_a_round_at_a_time() {
    let sysfs = tempfile::tempdir().expect("a folder");
    add_port(sysfs.path(), "a", "1", None);
    let mut ports = Ports::new(sysfs.path().into(), open);
    ports.look();
    wire("a").borrow_mut().arrivals.extend((0..DATAGRAMS_PER_ROUND + 3).map(|_| request(0x10)));
    for left in [3, 0] {
        assert!(ports.poll(&directory()));
        assert_eq!(wire("a").borrow().arrivals.len(), left);
    }
}
