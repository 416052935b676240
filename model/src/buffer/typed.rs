//! Numbers in a buffer.
//!
//! **Invariant: a number is read as it was written, whatever the machine**: big-endian, as on the network, or with `_le`
//! little-endian.
//!
//! | | at an index | at the reader or writer index, which moves |
//! |---|---|---|
//! | reading | `get_u16(at)` | `read_u16()` |
//! | writing | `set_u16(at, value)` | `put_u16(value)` |

use super::{Buffer, BufferError};
use crate::Platform;

impl<P: Platform> Buffer<P> {
    /// Copies bytes from `at` on into `to`. The indices stay, and don't matter.
    ///
    /// # Errors
    /// [`BufferError`] when the buffer is dead, somebody is writing, or it has no such bytes.
    #[track_caller]
    pub fn get(&self, at: usize, to: &mut [u8]) -> Result<(), BufferError> {
        self.enter()?.read_at(at, to)
    }

    /// Copies `data` over the bytes from `at` on. The indices stay, and don't matter. Only the sole owner may.
    ///
    /// # Errors
    /// [`BufferError`] when the count isn't one, the buffer is read-only, or it has no such bytes.
    #[track_caller]
    pub fn set(&mut self, at: usize, data: &[u8]) -> Result<(), BufferError> {
        self.enter_to_write()?.write_at(at, data.len(), |from, to| to.copy_from_slice(&data[from..from + to.len()]))
    }

    /// Appends the next `n` readable bytes of `from`, which are consumed there. Only the sole owner may; so the two can't be
    /// handles of one buffer.
    ///
    /// # Errors
    /// [`BufferError`] of either; nothing is moved then.
    #[track_caller]
    pub fn put_buffer(&mut self, from: &mut Self, n: usize) -> Result<(), BufferError> {
        from.check_readable(n)?;
        let (at, before) = (from.reader_index(), self.view.writer);
        let access = from.enter_alone()?;
        access.check(at, n)?;
        match access.slice(at, n) {
            Ok(bytes) => self.put(bytes)?,
            Err(_) => {
                for piece in access.pieces(at, n, usize::MAX)? {
                    self.put(piece.bytes(&access)).inspect_err(|_| self.view.writer = before)?;
                }
            }
        }
        drop(access);
        from.skip(n)
    }

    #[track_caller]
    #[inline]
    fn get_array<const N: usize>(&self, at: usize) -> Result<[u8; N], BufferError> {
        let mut array = [0; N];
        self.enter()?.read_at(at, &mut array)?;
        Ok(array)
    }

    #[track_caller]
    #[inline]
    fn read_array<const N: usize>(&mut self) -> Result<[u8; N], BufferError> {
        self.check_readable(N)?;
        let at = self.reader_index();
        let mut array = [0; N];
        self.enter_alone()?.read_at(at, &mut array)?;
        self.view.reader += N as u32;
        Ok(array)
    }
}

/// Unsigned numbers of three bytes are a `u32`, signed ones an `i32`.
fn u24_from_be(bytes: [u8; 3]) -> u32 {
    u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]])
}

fn u24_from_le(bytes: [u8; 3]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0])
}

fn i24_from_be(bytes: [u8; 3]) -> i32 {
    i32::from_be_bytes([bytes[0], bytes[1], bytes[2], 0]) >> 8
}

fn i24_from_le(bytes: [u8; 3]) -> i32 {
    i32::from_le_bytes([0, bytes[0], bytes[1], bytes[2]]) >> 8
}

/// The upper byte is ignored, as in Netty.
fn u24_to_be(value: u32) -> [u8; 3] {
    let [_, a, b, c] = value.to_be_bytes();
    [a, b, c]
}

fn u24_to_le(value: u32) -> [u8; 3] {
    let [a, b, c, _] = value.to_le_bytes();
    [a, b, c]
}

fn i24_to_be(value: i32) -> [u8; 3] {
    u24_to_be(value.cast_unsigned())
}

fn i24_to_le(value: i32) -> [u8; 3] {
    u24_to_le(value.cast_unsigned())
}

macro_rules! typed {
    ($($what:literal $type:ty: $get:ident $set:ident $read:ident $put:ident = $from:expr, $to:expr;)*) => {
        impl<P: Platform> Buffer<P> {$(
            #[doc = concat!("The ", $what, " at `at`.\n\n# Errors\nAs [`Buffer::get`].")]
            #[track_caller]
            #[inline]
            pub fn $get(&self, at: usize) -> Result<$type, BufferError> {
                self.get_array(at).map($from)
            }
            #[doc = concat!("Writes the ", $what, " at `at`.\n\n# Errors\nAs [`Buffer::set`].")]
            #[track_caller]
            #[inline]
            pub fn $set(&mut self, at: usize, value: $type) -> Result<(), BufferError> {
                self.set(at, &$to(value))
            }
            #[doc = concat!("The next ", $what, ", which is consumed.\n\n# Errors\nAs [`Buffer::read_into`].")]
            #[track_caller]
            #[inline]
            pub fn $read(&mut self) -> Result<$type, BufferError> {
                self.read_array().map($from)
            }
            #[doc = concat!("Appends the ", $what, ".\n\n# Errors\nAs [`Buffer::put`].")]
            #[track_caller]
            #[inline]
            pub fn $put(&mut self, value: $type) -> Result<(), BufferError> {
                self.put(&$to(value))
            }
        )*}
    };
}

typed! {
    "byte" u8: get_u8 set_u8 read_u8 put_u8 = u8::from_be_bytes, u8::to_be_bytes;
    "signed byte" i8: get_i8 set_i8 read_i8 put_i8 = i8::from_be_bytes, i8::to_be_bytes;
    "unsigned 16-bit number" u16: get_u16 set_u16 read_u16 put_u16 = u16::from_be_bytes, u16::to_be_bytes;
    "little-endian unsigned 16-bit number" u16: get_u16_le set_u16_le read_u16_le put_u16_le
        = u16::from_le_bytes, u16::to_le_bytes;
    "16-bit number" i16: get_i16 set_i16 read_i16 put_i16 = i16::from_be_bytes, i16::to_be_bytes;
    "little-endian 16-bit number" i16: get_i16_le set_i16_le read_i16_le put_i16_le
        = i16::from_le_bytes, i16::to_le_bytes;
    "unsigned 24-bit number" u32: get_u24 set_u24 read_u24 put_u24 = u24_from_be, u24_to_be;
    "little-endian unsigned 24-bit number" u32: get_u24_le set_u24_le read_u24_le put_u24_le = u24_from_le, u24_to_le;
    "24-bit number" i32: get_i24 set_i24 read_i24 put_i24 = i24_from_be, i24_to_be;
    "little-endian 24-bit number" i32: get_i24_le set_i24_le read_i24_le put_i24_le = i24_from_le, i24_to_le;
    "unsigned 32-bit number" u32: get_u32 set_u32 read_u32 put_u32 = u32::from_be_bytes, u32::to_be_bytes;
    "little-endian unsigned 32-bit number" u32: get_u32_le set_u32_le read_u32_le put_u32_le
        = u32::from_le_bytes, u32::to_le_bytes;
    "32-bit number" i32: get_i32 set_i32 read_i32 put_i32 = i32::from_be_bytes, i32::to_be_bytes;
    "little-endian 32-bit number" i32: get_i32_le set_i32_le read_i32_le put_i32_le
        = i32::from_le_bytes, i32::to_le_bytes;
    "unsigned 64-bit number" u64: get_u64 set_u64 read_u64 put_u64 = u64::from_be_bytes, u64::to_be_bytes;
    "little-endian unsigned 64-bit number" u64: get_u64_le set_u64_le read_u64_le put_u64_le
        = u64::from_le_bytes, u64::to_le_bytes;
    "64-bit number" i64: get_i64 set_i64 read_i64 put_i64 = i64::from_be_bytes, i64::to_be_bytes;
    "little-endian 64-bit number" i64: get_i64_le set_i64_le read_i64_le put_i64_le
        = i64::from_le_bytes, i64::to_le_bytes;
    "32-bit floating-point number" f32: get_f32 set_f32 read_f32 put_f32 = f32::from_be_bytes, f32::to_be_bytes;
    "little-endian 32-bit floating-point number" f32: get_f32_le set_f32_le read_f32_le put_f32_le
        = f32::from_le_bytes, f32::to_le_bytes;
    "64-bit floating-point number" f64: get_f64 set_f64 read_f64 put_f64 = f64::from_be_bytes, f64::to_be_bytes;
    "little-endian 64-bit floating-point number" f64: get_f64_le set_f64_le read_f64_le put_f64_le
        = f64::from_le_bytes, f64::to_le_bytes;
}
