//! Tells the blocks of one alternative in the order of the grammar, for readers.

use super::{BlockStart, Delta, Event};

/// One alternative of an answer, as far as it has been told.
#[derive(Debug, Default)]
pub struct Teller {
    choice: u32,
    /// How many blocks have begun.
    blocks: u32,
    /// The block of words that is open.
    open: Option<(BlockStart, u32)>,
}

impl Teller {
    /// Nothing has been told of `choice`.
    #[must_use]
    pub fn new(choice: u32) -> Self {
        Teller { choice, blocks: 0, open: None }
    }

    /// How many blocks have begun.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.blocks as usize
    }

    /// Adds to the words of this kind, and begins some where none are open. A seal ends the thoughts that
    /// it covers; one with thoughts inside has a block of its own.
    pub fn say(&mut self, kind: BlockStart, delta: Delta, events: &mut Vec<Event>) {
        if is_empty(&delta) {
            return;
        }
        let is_seal = matches!(&delta, Delta::Seal(_));
        let is_alone = matches!(&delta, Delta::Seal(seal) if seal.redacted);
        let block = match &self.open {
            Some((open, block)) if *open == kind && !is_alone => *block,
            _ => {
                let block = self.begin(kind.clone(), events);
                self.open = Some((kind, block));
                block
            }
        };
        events.push(Event::Delta { choice: self.choice, block, delta });
        if is_seal {
            self.close(events);
        }
    }

    /// Tells a block that comes in one piece.
    pub fn whole(
        &mut self,
        start: BlockStart,
        deltas: impl IntoIterator<Item = Delta>,
        events: &mut Vec<Event>,
    ) {
        let block = self.begin(start, events);
        deltas.into_iter().for_each(|delta| self.piece(block, delta, events));
        events.push(Event::BlockStop { choice: self.choice, block });
    }

    /// Begins a block that the caller stops, and gives its number.
    pub fn begin(&mut self, start: BlockStart, events: &mut Vec<Event>) -> u32 {
        self.close(events);
        let block = self.blocks;
        self.blocks = self.blocks.saturating_add(1);
        events.push(Event::BlockStart { choice: self.choice, block, start });
        block
    }

    /// Tells a piece of a block that has begun, if there is anything in it.
    pub fn piece(&self, block: u32, delta: Delta, events: &mut Vec<Event>) {
        if !is_empty(&delta) {
            events.push(Event::Delta { choice: self.choice, block, delta });
        }
    }

    /// Stops the words that are open.
    pub fn close(&mut self, events: &mut Vec<Event>) {
        let open = self.open.take();
        events.extend(open.map(|(_, block)| Event::BlockStop { choice: self.choice, block }));
    }
}

fn is_empty(delta: &Delta) -> bool {
    matches!(delta, Delta::Text(text) | Delta::Input(text) if text.is_empty())
}
