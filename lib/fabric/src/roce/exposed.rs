//! Memory that peers may read and write by RDMA: what an initiator registers for its commands. A target exposes none.

use mem::IoBuf;

use crate::QpIndex;
pub use crate::{Access, RemoteMemory};

/// Most parts exposed at once: their places are numbered by the low half of a key.
const PLACES_MAX: usize = 1 << 16;

/// The access is refused: unknown key, another queue pair's, out of bounds, or without the right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AccessRefused;

/// The exposed memory of one poll group. Each key is good for one queue pair.
#[derive(Debug)]
pub struct Exposed {
    places: Vec<Place>,
    free: Vec<u16>,
    /// State of the sequence that keys are drawn from.
    random: u64,
}

/// Keys are `tag << 16 | place`. The tag is drawn anew each time a place is used, so that a key cannot be guessed from
/// another one, and an old one names nothing.
#[derive(Debug)]
struct Place {
    /// Never 0.
    tag: u16,
    qp: QpIndex,
    access: Access,
    /// `None`: the place is free.
    data: Option<IoBuf>,
}

impl Exposed {
    /// Nothing exposed yet, with room for `capacity` parts: exposing more than that at once allocates. The `seed` makes the keys
    /// unpredictable, so it has to be.
    pub fn with_capacity(seed: u64, capacity: usize) -> Exposed {
        Exposed { places: Vec::with_capacity(capacity), free: Vec::with_capacity(capacity), random: seed }
    }

    /// Exposes the part that `data` stands for, to the peer of one queue pair, until it is withdrawn.
    ///
    /// # Panics
    /// If 65,536 parts are exposed already: callers bound that by their commands.
    pub fn expose(&mut self, qp: QpIndex, data: IoBuf, access: Access) -> RemoteMemory {
        let draw = self.draw();
        let place = self.free.pop().unwrap_or_else(|| {
            assert!(self.places.len() < PLACES_MAX, "more memory exposed than keys can name");
            let unused = Place { tag: 0, qp, access, data: None };
            self.places.push(unused);
            (self.places.len() - 1) as u16 // below PLACES_MAX
        });
        let (addr, len) = (data.addr(), data.len() as u32); // parts are under 4 GiB
        let tag = next_tag(draw, self.places[usize::from(place)].tag);
        self.places[usize::from(place)] = Place { tag, qp, access, data: Some(data) };
        RemoteMemory { addr, rkey: u32::from(tag) << 16 | u32::from(place), len }
    }

    /// Takes memory back; `None` if the key is not known.
    pub fn withdraw(&mut self, rkey: u32) -> Option<IoBuf> {
        let data = self.places.get_mut(place_of(rkey)).filter(|place| place.tag == tag_of(rkey))?.data.take()?;
        self.free.push(place_of(rkey) as u16); // the low half of the key
        Some(data)
    }

    /// The peer gives its key up (SEND with invalidate): all further access is refused. The memory still has to be
    /// taken back by [`Exposed::withdraw`].
    ///
    /// # Errors
    /// The key is not known, or is another queue pair's.
    pub fn invalidate(&mut self, qp: QpIndex, rkey: u32) -> Result<(), AccessRefused> {
        self.find(qp, rkey)?;
        self.places[place_of(rkey)].access = Access { read: false, write: false };
        Ok(())
    }

    /// The bytes that a READ asks for.
    ///
    /// # Errors
    /// The access is refused.
    #[inline]
    pub fn readable(&self, qp: QpIndex, rkey: u32, addr: u64, len: u32) -> Result<&[u8], AccessRefused> {
        let (place, data) = self.find(qp, rkey)?;
        if !place.access.read {
            return Err(AccessRefused);
        }
        data.bytes().get(within(data, addr, len)?).ok_or(AccessRefused)
    }

    /// The bytes that a WRITE is for.
    ///
    /// # Errors
    /// The access is refused.
    #[inline]
    pub fn writable(&mut self, qp: QpIndex, rkey: u32, addr: u64, len: u32) -> Result<&mut [u8], AccessRefused> {
        let (place, data) = self.find(qp, rkey)?;
        if !place.access.write {
            return Err(AccessRefused);
        }
        let range = within(data, addr, len)?;
        let data = self.places[place_of(rkey)].data.as_mut().ok_or(AccessRefused)?;
        data.bytes_mut().get_mut(range).ok_or(AccessRefused)
    }

    #[inline]
    fn find(&self, qp: QpIndex, rkey: u32) -> Result<(&Place, &IoBuf), AccessRefused> {
        let place = self.places.get(place_of(rkey)).ok_or(AccessRefused)?;
        let data = place.data.as_ref().ok_or(AccessRefused)?;
        if place.tag == tag_of(rkey) && place.qp == qp { Ok((place, data)) } else { Err(AccessRefused) }
    }

    /// SplitMix64 (Steele, Lea, Flood 2014).
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.random ^ self.random >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

#[inline]
fn place_of(rkey: u32) -> usize {
    (rkey & 0xffff) as usize
}

#[inline]
fn tag_of(rkey: u32) -> u16 {
    (rkey >> 16) as u16
}

/// A tag that is neither 0 nor the one that the place had before.
fn next_tag(draw: u64, before: u16) -> u16 {
    let tag = (draw % 0xfffe) as u16 + 1; // 1 to 0xfffe
    if tag == before { tag + 1 } else { tag }
}

/// Where `addr..addr + len` lies in `data`.
#[inline]
fn within(data: &IoBuf, addr: u64, len: u32) -> Result<std::ops::Range<usize>, AccessRefused> {
    let start = addr.checked_sub(data.addr()).ok_or(AccessRefused)?;
    let end = start.checked_add(u64::from(len)).ok_or(AccessRefused)?;
    if end <= data.len() as u64 { Ok(start as usize..end as usize) } else { Err(AccessRefused) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const BOTH: Access = Access { read: true, write: true };
    const QP: QpIndex = QpIndex(3);

    fn part(pool: &mem::Pool) -> IoBuf {
        IoBuf::new(pool.get().expect("a free buffer"), 100..300)
    }

    #[test]
    fn a_part_is_reached_to_its_bounds_and_no_further() {
        let pool = mem::testing::pool(4096, 1);
        let mut exposed = Exposed::with_capacity(1, 4);
        let memory = exposed.expose(QP, part(&pool), BOTH);
        exposed.writable(QP, memory.rkey, memory.addr + 199, 1).expect("the last byte")[0] = 7;
        assert_eq!(exposed.readable(QP, memory.rkey, memory.addr, 200).map(|bytes| bytes[199]), Ok(7));
        for (addr, len) in [
            (memory.addr - 1, 1),
            (memory.addr, 201),
            (memory.addr + 200, 1),
            (memory.addr + 199, 2),
            (memory.addr + 1, u32::MAX),
            (u64::MAX, 1),
            (u64::MAX - 3, u32::MAX),
            (0, 1),
        ] {
            assert_eq!(exposed.readable(QP, memory.rkey, addr, len), Err(AccessRefused), "{addr:#x} + {len}");
            assert_eq!(exposed.writable(QP, memory.rkey, addr, len), Err(AccessRefused), "{addr:#x} + {len}");
        }
    }

    #[test]
    fn rights_keys_and_queue_pairs_are_kept_apart() {
        let pool = mem::testing::pool(4096, 2);
        let mut exposed = Exposed::with_capacity(1, 4);
        let source = exposed.expose(QP, part(&pool), Access { read: true, write: false });
        let sink = exposed.expose(QP, part(&pool), Access { read: false, write: true });
        assert!(exposed.readable(QP, source.rkey, source.addr, 8).is_ok());
        assert!(exposed.writable(QP, source.rkey, source.addr, 8).is_err());
        assert!(exposed.readable(QP, sink.rkey, sink.addr, 8).is_err());
        assert!(exposed.writable(QP, sink.rkey, sink.addr, 8).is_ok());
        assert!(exposed.readable(QpIndex(4), source.rkey, source.addr, 8).is_err(), "another queue pair");
        assert!(exposed.readable(QP, source.rkey ^ 0x1_0000, source.addr, 8).is_err(), "another tag");
        assert!(exposed.readable(QP, sink.rkey, source.addr, 8).is_err(), "another part's key");
        assert!(exposed.readable(QP, source.rkey | 0xffff, source.addr, 8).is_err(), "no such place");
    }

    #[test]
    fn a_withdrawn_key_is_never_good_again() {
        let pool = mem::testing::pool(4096, 1);
        let mut exposed = Exposed::with_capacity(1, 1);
        let mut before = exposed.expose(QP, part(&pool), BOTH);
        let mut keys = HashSet::from([before.rkey]);
        for _ in 0..100 {
            let data = exposed.withdraw(before.rkey).expect("exposed");
            assert!(exposed.withdraw(before.rkey).is_none(), "taken back twice");
            let memory = exposed.expose(QP, data, BOTH);
            assert_ne!(memory.rkey, 0);
            assert!(exposed.readable(QP, before.rkey, before.addr, 1).is_err());
            keys.insert(memory.rkey);
            before = memory;
        }
        assert!(keys.len() > 95, "drawn from 65,534 keys: {}", keys.len());
        assert_eq!(exposed.places.len(), 1, "the place is used again");
    }

    #[test]
    fn the_seed_decides_the_keys() {
        let keys = |seed| {
            let pool = mem::testing::pool(4096, 2);
            let mut exposed = Exposed::with_capacity(seed, 2);
            [0; 2].map(|_| exposed.expose(QP, part(&pool), BOTH).rkey)
        };
        assert_eq!(keys(1), keys(1));
        assert_ne!(keys(1)[0], keys(2)[0]);
        assert_ne!(keys(1)[0] >> 16, keys(1)[1] >> 16);
    }

    #[test]
    fn tags_are_never_zero_and_always_change() {
        for draw in [0, 1, 0xfffd, 0xfffe, u64::MAX] {
            for before in [0, 1, 2, 0xfffe, 0xffff] {
                let tag = next_tag(draw, before);
                assert!(tag != 0 && tag != before, "{draw} after {before}");
            }
        }
    }

    #[test]
    fn an_invalidated_key_gives_no_access_but_the_memory_comes_back() {
        let pool = mem::testing::pool(4096, 1);
        let mut exposed = Exposed::with_capacity(1, 1);
        let memory = exposed.expose(QP, part(&pool), BOTH);
        assert_eq!(exposed.invalidate(QpIndex(4), memory.rkey), Err(AccessRefused), "another queue pair's");
        assert_eq!(exposed.invalidate(QP, memory.rkey ^ 0x1_0000), Err(AccessRefused));
        assert!(exposed.readable(QP, memory.rkey, memory.addr, 1).is_ok());
        assert_eq!(exposed.invalidate(QP, memory.rkey), Ok(()));
        assert!(exposed.readable(QP, memory.rkey, memory.addr, 1).is_err());
        assert!(exposed.writable(QP, memory.rkey, memory.addr, 1).is_err());
        assert_eq!(exposed.withdraw(memory.rkey).expect("still ours").range(), 100..300);
        assert_eq!(exposed.invalidate(QP, memory.rkey), Err(AccessRefused), "withdrawn");
    }
}
