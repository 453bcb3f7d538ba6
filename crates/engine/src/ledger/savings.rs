//! What each request earns a part of, so that it can never be more than a share of the traffic.

/// Parts that have been earned and not spent.
#[derive(Debug, Default)]
pub(super) struct Savings(u32);

impl Savings {
    /// These at the beginning.
    pub(super) fn of(parts: u32) -> Savings {
        Savings(parts)
    }

    /// Puts `parts` to them, up to `most`.
    pub(super) fn earn(&mut self, parts: u32, most: u32) {
        self.0 = self.0.saturating_add(parts).min(most);
    }

    /// Takes `parts`, if there are so many.
    pub(super) fn spend(&mut self, parts: u32) -> bool {
        let left = self.0.checked_sub(parts);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}
