//! Tells blocks one after the other, for dialects whose clients know one open block at a time.

use super::{Delta, Event};
use std::collections::VecDeque;

/// Holds back what comes of a block while another one is open before it.
#[derive(Debug, Default)]
pub struct InOrder {
    /// Blocks that wait or are open, each with its events and whether it has stopped.
    blocks: VecDeque<(Vec<Event>, bool)>,
    /// Number of the first of `blocks`.
    first: u32,
    /// Bytes held back.
    held: usize,
}

impl InOrder {
    /// Takes an event of a block, and gives what may be told now.
    pub fn take(&mut self, block: u32, event: Event) -> Vec<Event> {
        match &event {
            Event::BlockStart { .. } => self.blocks.push_back((Vec::new(), false)),
            _ => self.held += size(&event),
        }
        let place = block.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        if let Some((events, stopped)) = place.and_then(|place| self.blocks.get_mut(place)) {
            *stopped |= matches!(event, Event::BlockStop { .. });
            events.push(event);
        }
        self.ready()
    }

    /// How many blocks wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.blocks.len()
    }

    /// How many bytes wait.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    /// All of the first block, and of the next ones as blocks stop.
    fn ready(&mut self) -> Vec<Event> {
        let mut told = Vec::new();
        while let Some((events, stopped)) = self.blocks.front_mut() {
            told.append(events);
            if !*stopped {
                break;
            }
            self.blocks.pop_front();
            self.first = self.first.saturating_add(1);
        }
        self.held = self.held.saturating_sub(told.iter().map(size).sum());
        told
    }
}

fn size(event: &Event) -> usize {
    match event {
        Event::Delta { delta: Delta::Text(text) | Delta::Input(text), .. } => text.len(),
        Event::Delta { delta: Delta::Seal(seal), .. } => seal.data.len(),
        Event::Opaque { json, .. } => json.to_string().len(),
        _ => 0,
    }
}
