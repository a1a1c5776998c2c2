//! Where one JSON text ends and the next begins.
//!
//! Nothing stands between requests on the stream, so brackets are counted outside of strings. Each byte is looked at
//! once, however the stream is cut into pieces. Whether the text is good JSON is for `message.rs` to see.
//!
//! Panic contract: no input panics.

/// Cuts a stream of bytes into JSON objects and arrays.
///
/// Push bytes as they come, then take frames until there are no more. After an error the stream has no place to
/// continue from; drop the framer.
#[derive(Debug)]
pub struct Framer {
    /// Bytes not given out yet, after `start` bytes that were.
    buffer: Vec<u8>,
    /// Where the frame in progress begins.
    start: usize,
    /// How far it has been looked at.
    scanned: usize,
    /// Brackets that are open at `scanned`.
    depth: usize,
    in_string: bool,
    /// The byte before was a backslash within a string.
    escaped: bool,
    /// Longest frame, in bytes.
    limit: usize,
}

/// The stream cannot be cut any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A frame is longer than the limit, or would become so.
    #[error("a request may be no longer than {limit} bytes")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// A frame begins with a number, a string, true, false or null: JSON, but neither object nor array.
    #[error("a request is a JSON object, or an array of them")]
    NeitherObjectNorArray,
    /// A frame begins with something that begins no JSON text.
    #[error("byte 0x{byte:02x} where a JSON object should begin")]
    NotJson {
        /// The byte found.
        byte: u8,
    },
}

impl Framer {
    /// A framer that takes frames up to `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Framer { buffer: Vec::new(), start: 0, scanned: 0, depth: 0, in_string: false, escaped: false, limit }
    }

    /// Adds bytes from the stream. Memory: at most the limit and what is pushed between two calls of
    /// [`Self::next_frame`].
    pub fn push(&mut self, bytes: &[u8]) {
        const KEEP: usize = 64 << 10; // one long request should not hold its memory for the rest of the connection
        self.buffer.drain(..self.start);
        self.scanned -= self.start;
        self.start = 0;
        if self.buffer.is_empty() {
            self.buffer.shrink_to(KEEP);
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, or `None` until more bytes come.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, FrameError> {
        if self.depth == 0 && !self.find_start()? {
            return Ok(None);
        }
        let complete = self.find_end();
        if self.scanned - self.start > self.limit {
            return Err(FrameError::TooLong { limit: self.limit });
        }
        if !complete {
            return Ok(None);
        }
        let frame = self.start..self.scanned;
        self.start = self.scanned;
        Ok(self.buffer.get(frame))
    }

    /// True if a frame has begun and not ended.
    pub fn is_within_frame(&self) -> bool {
        self.depth > 0
    }

    /// Skips white space; true if a frame begins there.
    fn find_start(&mut self) -> Result<bool, FrameError> {
        let rest = self.buffer.get(self.start..).unwrap_or_default();
        let blank = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count();
        let first = rest.get(blank).copied();
        self.start += blank;
        self.scanned = self.start;
        match first {
            None => Ok(false),
            Some(b'{' | b'[') => Ok(true),
            Some(b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => Err(FrameError::NeitherObjectNorArray),
            Some(byte) => Err(FrameError::NotJson { byte }),
        }
    }

    /// Goes on to the bracket that closes the frame; false if it is not there yet.
    fn find_end(&mut self) -> bool {
        for &byte in self.buffer.get(self.scanned..).unwrap_or_default() {
            self.scanned += 1;
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth -= 1; // at least 1: a frame begins with a bracket, and ends when the count is 0 again
                    if self.depth == 0 {
                        return true;
                    }
                }
                _ => {}
            }
        }
        false
    }
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
