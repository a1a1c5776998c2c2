//! Builds an answer in a buffer that may be too short for it.

/// An answer under construction. What does not fit in the buffer is counted and dropped: the header of a SCSI answer
/// says how long the whole would be, however much of it the initiator has room for (SPC-4).
pub(crate) struct Bytes<'a> {
    buffer: &'a mut [u8],
    len: usize,
}

impl<'a> Bytes<'a> {
    pub(crate) fn new(buffer: &'a mut [u8]) -> Bytes<'a> {
        Bytes { buffer, len: 0 }
    }

    /// Bytes put so far, whether or not they fitted.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of them that are in the buffer.
    pub(crate) fn fitting(&self) -> usize {
        self.len.min(self.buffer.len())
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.patch(self.len, bytes);
        self.len += bytes.len();
    }

    pub(crate) fn put_u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    pub(crate) fn put_be16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }

    pub(crate) fn put_be32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }

    pub(crate) fn put_be64(&mut self, value: u64) {
        self.put(&value.to_be_bytes());
    }

    pub(crate) fn put_zeroes(&mut self, count: usize) {
        let end = self.len + count;
        if let Some(room) = self.buffer.get_mut(self.len..) {
            let fits = room.len().min(count);
            room[..fits].fill(0);
        }
        self.len = end;
    }

    /// ASCII text, left-aligned and filled with spaces to `width`; longer text is cut.
    pub(crate) fn put_text(&mut self, text: &str, width: usize) {
        let text = &text.as_bytes()[..text.len().min(width)];
        self.put(text);
        for _ in text.len()..width {
            self.put_u8(b' ');
        }
    }

    /// Overwrites bytes that were put before: a length that is known only at the end.
    pub(crate) fn patch(&mut self, at: usize, bytes: &[u8]) {
        for (offset, &byte) in bytes.iter().enumerate() {
            if let Some(slot) = self.buffer.get_mut(at + offset) {
                *slot = byte;
            }
        }
    }

    pub(crate) fn patch_u8(&mut self, at: usize, value: u8) {
        self.patch(at, &[value]);
    }

    pub(crate) fn patch_be16(&mut self, at: usize, value: u16) {
        self.patch(at, &value.to_be_bytes());
    }

    pub(crate) fn patch_be32(&mut self, at: usize, value: u32) {
        self.patch(at, &value.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted_and_dropped() {
        let mut buffer = [0xee; 5];
        let mut bytes = Bytes::new(&mut buffer[..4]);
        bytes.put_be16(0);
        bytes.put_text("ab", 4);
        bytes.put_zeroes(3);
        bytes.put_be64(u64::MAX);
        let len = bytes.len();
        bytes.patch_be16(0, 0x1234);
        bytes.patch_be32(2, 0x6162_6364);
        bytes.patch_u8(400, 1);
        assert_eq!(len, 17);
        assert_eq!(buffer, [0x12, 0x34, b'a', b'b', 0xee]);
    }

    #[test]
    fn text_is_padded_and_cut() {
        let mut buffer = [0; 6];
        let mut bytes = Bytes::new(&mut buffer);
        bytes.put_text("x", 3);
        bytes.put_text("wxyz", 3);
        assert_eq!(&buffer, b"x  wxy");
    }
}
