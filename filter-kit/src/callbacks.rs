//! Which of the host's callbacks a filter takes part in.

/// A set of stream and root callbacks.
///
/// A callback that a filter does not declare is not exported by its module, so that the host never enters the VM for it: about 95 ns a
/// callback in Envoy, whether the filter has anything to do or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Callbacks(u16);

macro_rules! callbacks {
    ($($(#[$doc:meta])* $name:ident = $bit:literal, $export:literal;)*) => {
        impl Callbacks {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*
            const ALL: &'static [(Self, &'static str)] = &[$((Self::$name, $export)),*];
        }
    };
}

callbacks! {
    /// The request's headers have arrived.
    REQUEST_HEADERS = 0, "proxy_on_request_headers";
    /// A part of the request's body has arrived.
    REQUEST_BODY = 1, "proxy_on_request_body";
    /// The request's trailers have arrived.
    REQUEST_TRAILERS = 2, "proxy_on_request_trailers";
    /// The response's headers have arrived.
    RESPONSE_HEADERS = 3, "proxy_on_response_headers";
    /// A part of the response's body has arrived.
    RESPONSE_BODY = 4, "proxy_on_response_body";
    /// The response's trailers have arrived.
    RESPONSE_TRAILERS = 5, "proxy_on_response_trailers";
    /// The exchange is over and may be logged.
    LOG = 6, "proxy_on_log";
    /// The root context's timer has run out.
    TICK = 7, "proxy_on_tick";
    /// A callout has been answered, or has failed.
    CALLOUT = 8, "proxy_on_http_call_response";
    /// A stream begins. The kit alone needs it, to know a stream's plugin where plugins of one name share a VM; without it the newest of that
    /// name has the stream.
    CREATE = 9, "proxy_on_context_create";
    /// A stream is over. The kit alone needs it, to forget at once what a filter remembers of streams; without it, and without `LOG`, the
    /// oldest of what is left over goes when it becomes too much.
    DELETE = 10, "proxy_on_delete";
}

impl Callbacks {
    /// No callback.
    pub const NONE: Self = Self(0);

    /// Both sets together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every callback of `other` is in this set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether the two sets are the same.
    pub const fn equals(self, other: Self) -> bool {
        self.0 == other.0
    }

    /// The names of the exports of a module with these callbacks.
    pub fn exports(self) -> impl Iterator<Item = &'static str> {
        Self::ALL.iter().filter(move |(callback, _)| self.contains(*callback)).map(|(_, export)| *export)
    }
}

#[cfg(test)]
mod tests {
    use super::Callbacks;

    #[test]
    fn a_set_names_its_exports() {
        let set = Callbacks::REQUEST_HEADERS.and(Callbacks::LOG);
        assert_eq!(set.exports().collect::<Vec<_>>(), ["proxy_on_request_headers", "proxy_on_log"]);
        assert!(set.contains(Callbacks::LOG) && !set.contains(Callbacks::TICK));
    }
}
