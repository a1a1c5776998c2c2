//! Memory that an initiator lets its peers into, until it takes it back. The key is the whole region's.

use mem::IoBuf;

use crate::ExposureId;

/// The exposed memory of one poll group.
#[derive(Debug, Default)]
pub(super) struct Exposed {
    places: Vec<Option<IoBuf>>,
    free: Vec<u32>,
}

impl Exposed {
    /// Takes memory that peers may touch from now on. Allocates only when more is exposed than ever before.
    #[inline]
    pub(super) fn insert(&mut self, data: IoBuf) -> ExposureId {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.free.reserve(self.places.len()); // so that taking back never allocates
            u32::try_from(self.places.len() - 1).expect("fewer commands than that")
        });
        self.places[place as usize] = Some(data);
        ExposureId(place)
    }

    /// Gives it back; `None` if it is not there.
    #[inline]
    pub(super) fn take(&mut self, exposure: ExposureId) -> Option<IoBuf> {
        let data = self.places.get_mut(exposure.0 as usize)?.take()?;
        self.free.push(exposure.0);
        Some(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_exposed_comes_back_once() {
        let pool = mem::testing::pool(4096, 2);
        let part = |range| IoBuf::new(pool.get().expect("a free buffer"), range);
        let mut exposed = Exposed::default();
        let (first, second) = (exposed.insert(part(0..10)), exposed.insert(part(5..20)));
        assert_eq!(exposed.take(first).expect("exposed").range(), 0..10);
        assert!(exposed.take(first).is_none(), "taken back twice");
        assert_eq!(exposed.insert(part(1..2)), first, "its place is used anew");
        assert_eq!(exposed.take(second).expect("exposed").range(), 5..20);
        assert!(exposed.take(ExposureId(9)).is_none());
    }
}
