//! True, false, or neither.

/// What a condition says of a request: the three values of Kleene's strong logic. [`Error`](Truth::Error) is what cannot be known: an attribute
/// that the host has not, a value of another type, a path with two readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Truth {
    /// It does not hold.
    False,
    /// It cannot be said.
    Error,
    /// It holds.
    True,
}

impl Truth {
    /// Both: what is false stays false, whatever cannot be said of the other.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        self.min(other)
    }

    /// One of the two: what is true stays true.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        self.max(other)
    }

    /// All of them, the rest of which is not asked when one is false.
    pub fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self::True;
        for part in parts {
            all = all.and(part);
            if all == Self::False {
                break;
            }
        }
        all
    }

    /// Any of them, the rest of which is not asked when one is true.
    pub fn any(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut any = Self::False;
        for part in parts {
            any = any.or(part);
            if any == Self::True {
                break;
            }
        }
        any
    }
}

impl std::ops::Not for Truth {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::False => Self::True,
            Self::Error => Self::Error,
            Self::True => Self::False,
        }
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

#[cfg(test)]
mod tests {
    use super::Truth::{self, Error, False, True};

    #[test]
    fn what_cannot_be_said_spreads_only_where_it_matters() {
        assert_eq!([False.and(Error), Error.and(True), True.and(True)], [False, Error, True]);
        assert_eq!([False.or(Error), Error.or(True), False.or(False)], [Error, True, False]);
        assert_eq!([!False, !Error, !True], [True, Error, False]);
        assert_eq!([Truth::all([]), Truth::any([])], [True, False]);
    }
}
