//! A buffer out of a pool, and back.

use std::hint::black_box;

/// One is taken and dropped.
pub fn get_and_put() -> Box<dyn FnMut()> {
    let pool = mem::testing::pool(4096, 64);
    Box::new(move || drop(black_box(pool.get()).expect("a buffer")))
}
