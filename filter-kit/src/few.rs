//! A list that is mostly short.

/// A list whose first item takes no memory of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Few<T> {
    first: Option<T>,
    rest: Vec<T>,
}

impl<T> Default for Few<T> {
    #[inline]
    fn default() -> Self {
        Self { first: None, rest: Vec::new() }
    }
}

impl<T> Few<T> {
    /// Whether there is no item.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Adds an item.
    #[inline]
    pub fn push(&mut self, item: T) {
        if self.first.is_none() {
            self.first = Some(item);
        } else {
            self.push_further(item);
        }
    }

    #[cold]
    #[inline(never)]
    fn push_further(&mut self, item: T) {
        self.rest.push(item);
    }

    /// The items in order.
    #[cfg(any(target_arch = "wasm32", test))]
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(&self.rest)
    }
}

impl<T> IntoIterator for Few<T> {
    type Item = T;
    type IntoIter = std::iter::Chain<std::option::IntoIter<T>, std::vec::IntoIter<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::Few;

    #[test]
    fn items_keep_their_order() {
        let mut few = Few::default();
        assert!(few.is_empty());
        for item in 0..5 {
            few.push(item);
        }
        assert_eq!(few.iter().copied().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert_eq!(few.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    }
}
