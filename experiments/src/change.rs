//! What an arm changes of a request.

use filter_kit::{Effects, HeaderName, without_query_parameter};

/// What an arm changes beside the header that names it.
#[derive(Debug, Default)]
pub struct Change {
    /// Changes of headers.
    pub headers: Vec<Edit>,
    /// The authority, where it changes.
    pub authority: Option<Box<str>>,
    /// A beginning of the path without a slash at its end, and what takes its place.
    pub prefix: Option<(Box<str>, Box<str>)>,
    /// Query parameters that get a value.
    pub set: Vec<(Box<str>, Box<str>)>,
    /// Query parameters that go.
    pub removed: Vec<Box<str>>,
}

/// A change of a header.
#[derive(Debug)]
pub enum Edit {
    /// It has this one value.
    Set(HeaderName, Box<str>),
    /// It has this value too.
    Add(HeaderName, Box<str>),
    /// It is gone.
    Remove(HeaderName),
}

impl Change {
    /// Whether it changes the path or the query.
    pub fn is_of_target(&self) -> bool {
        self.prefix.is_some() || !self.set.is_empty() || !self.removed.is_empty()
    }

    /// Changes headers.
    #[cold]
    pub fn apply<'a>(&'a self, authority: &'a HeaderName, effects: &mut Effects<'a>) {
        for edit in &self.headers {
            match edit {
                Edit::Set(name, value) => effects.set_request_header(name, value.as_bytes()),
                Edit::Add(name, value) => effects.add_request_header(name, value.as_bytes()),
                Edit::Remove(name) => effects.remove_request_header(name),
            }
        }
        if let Some(value) = &self.authority {
            effects.set_request_header(authority, value.as_bytes());
        }
    }

    /// The request target, changed.
    #[cold]
    pub fn target(&self, target: Vec<u8>) -> Vec<u8> {
        let mut target = target;
        if let Some((from, to)) = &self.prefix
            && let Some(rest) = target.strip_prefix(from.as_bytes())
            && rest.first().is_none_or(|byte| b"/?#".contains(byte))
        {
            let begin = if to.is_empty() && !rest.starts_with(b"/") { "/" } else { to };
            target = [begin.as_bytes(), rest].concat();
        }
        for name in self.removed.iter().chain(self.set.iter().map(|(name, _)| name)) {
            target = without_query_parameter(&target, name).unwrap_or(target);
        }
        for (name, value) in &self.set {
            let end = target.iter().position(|&byte| byte == b'#').unwrap_or(target.len());
            let (before, fragment) = target.split_at_checked(end).unwrap_or((&target, &[]));
            let joint: &[u8] = if before.contains(&b'?') { b"&" } else { b"?" };
            target = [before, joint, name.as_bytes(), b"=", value.as_bytes(), fragment].concat();
        }
        target
    }
}

#[cfg(test)]
mod tests {
    use super::Change;

    #[track_caller]
    fn check(change: &Change, target: &str, expected: &str) {
        assert_eq!(
            String::from_utf8(change.target(target.as_bytes().to_vec())).unwrap(),
            expected,
            "{target}"
        );
    }

    #[test]
    fn a_prefix_is_replaced_by_whole_segments() {
        let change = Change { prefix: Some(("/shop".into(), "/shop-b".into())), ..Change::default() };
        check(&change, "/shop", "/shop-b");
        check(&change, "/shop/cart?a=/shop", "/shop-b/cart?a=/shop");
        check(&change, "/shop?a", "/shop-b?a");
        check(&change, "/shopping", "/shopping");
        check(&change, "/a/shop", "/a/shop");
        let to_root = Change { prefix: Some(("/shop".into(), "".into())), ..Change::default() };
        check(&to_root, "/shop", "/");
        check(&to_root, "/shop?a", "/?a");
        check(&to_root, "/shop/cart", "/cart");
        let of_root = Change { prefix: Some(("".into(), "/b".into())), ..Change::default() };
        check(&of_root, "/", "/b/");
        check(&of_root, "/x?y", "/b/x?y");
    }

    #[test]
    fn parameters_are_set_and_removed() {
        let change = Change {
            set: [("v".into(), "2".into())].into(),
            removed: ["debug".into()].into(),
            ..Change::default()
        };
        check(&change, "/", "/?v=2");
        check(&change, "/?", "/?&v=2");
        check(&change, "/?a=1&v=1&debug&v=3", "/?a=1&v=2");
        check(&change, "/?%64ebug=1#f?v", "/?v=2#f?v");
    }
}
