//! What a push leaves behind: streams that ended without a word, and callouts that nobody will answer.

use super::{Kept, Root, Stream, Waiting, abi};
use crate::{Filter, Phase, View};

impl<F: Filter> Kept<F> {
    /// Forgets streams that have ended without a word, which would keep the configurations that they began with.
    #[cold]
    pub(super) fn forget_lost(&mut self, current: u32) {
        self.streams.retain(abi::set_effective_context);
        abi::set_effective_context(current);
    }

    /// Callouts of a plugin that is no more are never answered, for Envoy ends them with it: the plugin in its place hears that they have failed.
    #[cold]
    pub(super) fn tell_lost(&mut self, root: &Root<F>, current: u32) {
        let is_lost = |(_, waiting): &(u32, Waiting)| !abi::set_effective_context(waiting.context);
        while let Some(place) = self.callouts.iter().position(is_lost) {
            let (_, Waiting { context, tag }) = self.callouts.swap_remove(place);
            abi::set_effective_context(current);
            if self.streams.remove(context).is_none() {
                let mut none = Stream::default();
                let view = View::unanswered(&abi::Host);
                let effects = root.filter.on_callout(&view, &mut none.state, tag);
                self.apply(root, current, Phase::Callout, &effects, &mut none);
            }
        }
        abi::set_effective_context(current);
    }
}
