//! Bytes that the host handed over.

#[cfg(any(target_arch = "wasm32", test))]
use crate::shell::abi::Scratch;
use std::{fmt, ops::Deref};

/// Bytes that the host wrote into the module's memory, or a test made.
#[derive(Default)]
pub struct HostBytes(Place);

enum Place {
    /// In memory of their own.
    Heap(Box<[u8]>),
    /// In the memory that is used over and over.
    #[cfg(any(target_arch = "wasm32", test))]
    Scratch(Scratch),
}

impl Default for Place {
    fn default() -> Self {
        Self::Heap(Box::default())
    }
}

impl Deref for HostBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Place::Heap(bytes) => bytes,
            #[cfg(any(target_arch = "wasm32", test))]
            Place::Scratch(bytes) => bytes,
        }
    }
}

impl fmt::Debug for HostBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl From<Box<[u8]>> for HostBytes {
    fn from(bytes: Box<[u8]>) -> Self {
        Self(Place::Heap(bytes))
    }
}

impl From<Vec<u8>> for HostBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Place::Heap(bytes.into()))
    }
}

#[cfg(any(target_arch = "wasm32", test))]
impl From<Scratch> for HostBytes {
    fn from(bytes: Scratch) -> Self {
        Self(Place::Scratch(bytes))
    }
}
