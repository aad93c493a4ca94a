//! What is found by an id of the host's, in a bounded space.

/// Values by ids that grow by one or a few from value to value. Where there is no room for a new one, the oldest that stands in its way goes.
pub struct ById<T> {
    /// The value of an id is at the place `id % places`; the count of places is a power of two.
    places: Vec<Option<(u32, T)>>,
    count: usize,
}

/// The places of the first values.
const FIRST: usize = 64;
/// The most places.
const LIMIT: usize = 8192;

impl<T> ById<T> {
    /// No values.
    pub const fn new() -> Self {
        Self { places: Vec::new(), count: 0 }
    }

    /// Whether there are no values.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Puts a value in, and gives back one that had to make room.
    pub fn insert(&mut self, id: u32, value: T) -> Option<T> {
        loop {
            let size = self.places.len();
            match self.place(id) {
                Some(free @ None) => {
                    *free = Some((id, value));
                    self.count += 1;
                    return None;
                }
                Some(Some((other, old))) if *other == id => {
                    *old = value;
                    return None;
                }
                Some(taken) if size >= LIMIT => return taken.replace((id, value)).map(|(_, old)| old),
                _ => self.grow(),
            }
        }
    }

    /// A value, in its place.
    pub fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        self.place(id)?.as_mut().filter(|(other, _)| *other == id).map(|(_, value)| value)
    }

    /// Takes a value out.
    pub fn remove(&mut self, id: u32) -> Option<T> {
        let place = self.place(id)?;
        let (_, value) = place.take_if(|(other, _)| *other == id)?;
        self.count -= 1;
        Some(value)
    }

    /// Keeps the values of these ids alone.
    #[cold]
    pub fn retain(&mut self, mut is_kept: impl FnMut(u32) -> bool) {
        for place in &mut self.places {
            if place.take_if(|(id, _)| !is_kept(*id)).is_some() {
                self.count -= 1;
            }
        }
    }

    /// Twice the places. Two values that were apart stay apart.
    #[cold]
    fn grow(&mut self) {
        let size = (self.places.len() * 2).max(FIRST);
        let mut places = Vec::new();
        places.resize_with(size, || None);
        for old in std::mem::replace(&mut self.places, places).into_iter().flatten() {
            if let Some(place) = self.place(old.0) {
                *place = Some(old);
            }
        }
    }

    fn place(&mut self, id: u32) -> Option<&mut Option<(u32, T)>> {
        let mask = self.places.len().wrapping_sub(1);
        self.places.get_mut(id as usize & mask)
    }
}

#[cfg(test)]
mod tests {
    use super::{ById, LIMIT};

    #[test]
    fn values_are_found_and_the_oldest_makes_room() {
        let mut values = ById::new();
        assert!(values.is_empty() && values.remove(1).is_none());
        for id in 1..=2 * u32::try_from(LIMIT).unwrap() {
            let gone = values.insert(id, id * 10);
            assert_eq!(gone, (id as usize > LIMIT).then(|| (id - u32::try_from(LIMIT).unwrap()) * 10));
        }
        assert_eq!(values.places.len(), LIMIT);
        assert_eq!(
            (values.remove(1), values.remove(20_000), values.remove(16_384)),
            (None, None, Some(163_840))
        );
        assert_eq!(values.remove(16_384), None);
        assert_eq!(values.insert(16_383, 7), None);
        assert_eq!((values.get_mut(16_383).copied(), values.get_mut(16_384)), (Some(7), None));
        assert_eq!(values.remove(16_383), Some(7));
        assert_eq!(values.count, LIMIT - 2);
    }

    #[test]
    fn what_is_not_kept_is_gone() {
        let mut values = ById::new();
        for id in 1..=100 {
            values.insert(id, id);
        }
        values.retain(|id| id % 10 == 0);
        assert_eq!((values.count, values.remove(10), values.remove(11)), (10, Some(10), None));
        values.retain(|_| false);
        assert!(values.is_empty());
    }

    #[test]
    fn few_values_take_little_room() {
        let mut values = ById::new();
        for id in 1..1_000_000 {
            assert_eq!(values.insert(id, ()), None);
            assert_eq!(values.remove(id), Some(()));
        }
        assert_eq!(values.places.len(), 64);
    }
}
