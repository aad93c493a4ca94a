//! Addresses and blocks of them (RFC 4632, RFC 4291).

use std::net::{IpAddr, SocketAddr};

/// An address. IPv4 and IPv6 never match each other, not even as `::ffff:10.0.0.1`, as Envoy has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    bytes: [u8; 16],
    /// 32 or 128.
    bits: u8,
}

/// An address with the number of its bits that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    address: Address,
    length: u8,
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => {
                let [a, b, c, d] = address.octets();
                Self { bytes: [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], bits: 32 }
            }
            IpAddr::V6(address) => Self { bytes: address.octets(), bits: 128 },
        }
    }
}

impl Address {
    /// Reads what Envoy says of an address: with its port, or without. A Unix socket has none.
    pub fn read(text: &[u8]) -> Option<(Self, Option<u16>)> {
        let text = std::str::from_utf8(text).ok()?;
        if let Ok(both) = text.parse::<SocketAddr>() {
            return Some((both.ip().into(), Some(both.port())));
        }
        text.parse::<IpAddr>().ok().map(|address| (address.into(), None))
    }

    /// The bytes of its first bits, the others 0, behind the count of both: what a block of that length is known by.
    pub fn masked(self, length: u8) -> [u8; 18] {
        let mut key = [0; 18];
        let [bits, count, rest @ ..] = &mut key;
        (*bits, *count) = (self.bits, length);
        let mut left = length;
        for (to, from) in rest.iter_mut().zip(self.bytes) {
            let here = left.min(8);
            left -= here;
            *to = from & (0xff_u16 << (8 - here)).to_le_bytes().first().copied().unwrap_or_default();
        }
        key
    }

    /// How many bits it has.
    pub fn bits(self) -> u8 {
        self.bits
    }
}

impl Block {
    /// Reads an address or a block. As in Istio a length has no leading zero, and bits of the address beyond it do not count.
    pub fn read(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address = Address::from(address.parse::<IpAddr>().ok()?);
        let length = match length {
            None => address.bits,
            Some(length) if length == "0" || !length.starts_with(['0', '+']) => length.parse().ok()?,
            Some(_) => return None,
        };
        (length <= address.bits).then_some(Self { address, length })
    }

    /// What the block is known by: its family, its length, and its bits.
    pub fn key(self) -> [u8; 18] {
        self.address.masked(self.length)
    }

    /// Whether an address is in the block of a [`key`](Self::key).
    pub fn holds(key: &[u8], address: Address) -> bool {
        match key {
            [bits, length, ..] => *bits == address.bits && address.masked(*length) == *key,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Address, Block};

    #[track_caller]
    fn check(block: &str, address: &str, expected: bool) {
        let block = Block::read(block).unwrap();
        let (address, _) = Address::read(address.as_bytes()).unwrap();
        assert_eq!(Block::holds(&block.key(), address), expected, "{block:?} {address:?}");
    }

    #[test]
    fn a_block_holds_the_addresses_with_its_first_bits() {
        check("10.0.0.0/8", "10.255.0.1", true);
        check("10.1.2.3/8", "10.255.0.1:80", true);
        check("10.0.0.0/8", "11.0.0.1", false);
        check("10.0.0.0/9", "10.128.0.0", false);
        check("10.0.0.1", "10.0.0.1", true);
        check("10.0.0.1", "10.0.0.2", false);
        check("0.0.0.0/0", "255.1.1.1", true);
        check("::/0", "10.0.0.1", false);
        check("0.0.0.0/0", "::1", false);
        check("10.0.0.0/8", "::ffff:10.0.0.1", false);
        check("2001:db8::/33", "[2001:db8:7fff::1]:443", true);
        check("2001:db8::/33", "2001:db8:8000::1", false);
    }

    #[test]
    fn what_is_no_block_is_none() {
        for text in [
            "",
            "10.0.0",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/08",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            "010.0.0.1",
            "::/129",
            "fe80::1%1",
            "a/8",
        ] {
            assert_eq!(Block::read(text), None, "{text}");
        }
        assert!(Address::read(b"/var/run/x.sock").is_none() && Address::read(b"\xff").is_none());
    }
}
