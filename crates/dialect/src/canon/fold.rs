//! A whole message is the fold of its events, and the events are the unfolding of the message.

use super::{Block, BlockStart, Choice, Delta, Event, Kind, Message};
use crate::DialectId;
use serde_json::Value;

/// Gathers events into the message that they tell.
#[derive(Debug)]
pub struct Fold {
    message: Message,
}

impl Fold {
    /// Nothing has been told yet; the events come from a reader of `from`.
    #[must_use]
    pub fn new(from: DialectId) -> Self {
        Fold { message: Message::new(from) }
    }

    /// Takes the next event.
    pub fn take(&mut self, event: Event) {
        match event {
            Event::Start { id, model, created, extra } => {
                self.message = Message { id, model, created, extra, ..Message::new(self.message.from) };
            }
            Event::BlockStart { choice, start, .. } => self.choice(choice).blocks.push(Block::begun(start)),
            Event::Delta { choice, block, delta } => {
                if let Some(block) = self.choice(choice).blocks.get_mut(block as usize) {
                    block.grow(delta);
                }
            }
            Event::Logprobs { choice, logprobs } => {
                join_logprobs(&mut self.choice(choice).logprobs, logprobs);
            }
            Event::Finish { choice, stop } => self.choice(choice).stop = Some(stop),
            Event::Usage(usage) => self.message.usage = Some(usage),
            Event::BlockStop { .. } | Event::Opaque { .. } | Event::End => {}
        }
    }

    /// The message as told so far, choices in the order in which they began.
    #[must_use]
    pub fn so_far(&self) -> &Message {
        &self.message
    }

    /// The message as told so far, choices in the order of their numbers.
    #[must_use]
    pub fn message(mut self) -> Message {
        self.message.choices.sort_by_key(|choice| choice.index);
        self.message
    }

    fn choice(&mut self, index: u32) -> &mut Choice {
        let place = self.message.choices.iter().position(|choice| choice.index == index);
        let place = place.unwrap_or_else(|| {
            self.message.choices.push(Choice::new(index));
            self.message.choices.len() - 1
        });
        // The position was found or made just above.
        #[expect(clippy::indexing_slicing, reason = "`place` is a position in `choices`")]
        &mut self.message.choices[place]
    }
}

impl Block {
    /// A block that has just begun.
    #[must_use]
    pub fn begun(start: BlockStart) -> Block {
        match start {
            BlockStart::Text => Block::new(Kind::Text(String::new())),
            BlockStart::Refusal => Block::new(Kind::Refusal(String::new())),
            BlockStart::Reasoning => Block::new(Kind::Reasoning { text: String::new(), seal: None }),
            BlockStart::ToolUse { id, name } => Block::new(Kind::ToolUse { id, name, input: String::new() }),
            BlockStart::Whole(block) => *block,
        }
    }

    /// Adds to it; what does not fit its kind is left out.
    pub fn grow(&mut self, delta: Delta) {
        match (&mut self.kind, delta) {
            (Kind::Text(text) | Kind::Refusal(text) | Kind::Reasoning { text, .. }, Delta::Text(more)) => {
                text.push_str(&more);
            }
            (Kind::ToolUse { input, .. }, Delta::Input(more)) => input.push_str(&more),
            (Kind::Reasoning { seal, .. }, Delta::Seal(whole)) => *seal = Some(whole),
            (_, Delta::Seal(whole)) => self.seal = Some(whole),
            _ => {}
        }
    }
}

/// The message that `events` tell.
#[must_use]
pub fn fold(from: DialectId, events: impl IntoIterator<Item = Event>) -> Message {
    let mut fold = Fold::new(from);
    for event in events {
        fold.take(event);
    }
    fold.message()
}

/// The events that tell `message`, each block in one piece.
#[must_use]
pub fn unfold(message: &Message) -> Vec<Event> {
    let mut events = vec![Event::Start {
        id: message.id.clone(),
        model: message.model.clone(),
        created: message.created,
        extra: message.extra.clone(),
    }];
    for choice in &message.choices {
        for (number, block) in choice.blocks.iter().enumerate() {
            unfold_block(choice.index, u32::try_from(number).unwrap_or(u32::MAX), block, &mut events);
        }
        if let Some(logprobs) = &choice.logprobs {
            events.push(Event::Logprobs { choice: choice.index, logprobs: logprobs.clone() });
        }
        if let Some(stop) = &choice.stop {
            events.push(Event::Finish { choice: choice.index, stop: stop.clone() });
        }
    }
    events.extend(message.usage.clone().map(Event::Usage));
    events.push(Event::End);
    events
}

fn join_logprobs(have: &mut Option<Value>, more: Value) {
    let Some(Value::Object(have)) = have else {
        *have = Some(more);
        return;
    };
    let Value::Object(more) = more else { return };
    for (name, list) in more {
        match (have.get_mut(&name), list) {
            (Some(Value::Array(old)), Value::Array(new)) => old.extend(new),
            (Some(Value::Null) | None, new) => {
                have.insert(name, new);
            }
            _ => {}
        }
    }
}

fn unfold_block(choice: u32, number: u32, block: &Block, events: &mut Vec<Event>) {
    let text = |words: &str| (!words.is_empty()).then(|| Delta::Text(words.to_owned()));
    let (start, deltas) = match &block.kind {
        Kind::Text(words) => (BlockStart::Text, [text(words), None]),
        Kind::Refusal(words) => (BlockStart::Refusal, [text(words), None]),
        Kind::Reasoning { text: words, seal } => {
            (BlockStart::Reasoning, [text(words), seal.clone().map(Delta::Seal)])
        }
        Kind::ToolUse { id, name, input } => {
            let input = (!input.is_empty()).then(|| Delta::Input(input.clone()));
            (BlockStart::ToolUse { id: id.clone(), name: name.clone() }, [input, None])
        }
        Kind::Image(_) | Kind::Audio(_) | Kind::File(_) | Kind::ToolResult { .. } | Kind::Opaque { .. } => {
            (BlockStart::Whole(Box::new(block.clone())), [None, None])
        }
    };
    let whole = matches!(start, BlockStart::Whole(_));
    events.push(Event::BlockStart { choice, block: number, start });
    let seal = block.seal.clone().filter(|_| !whole).map(Delta::Seal);
    events.extend(seal.map(|delta| Event::Delta { choice, block: number, delta }));
    events.extend(deltas.into_iter().flatten().map(|delta| Event::Delta { choice, block: number, delta }));
    events.push(Event::BlockStop { choice, block: number });
}
