//! Urgent requests among others that are not.

use super::{Crowd, plan, rule};
use crate::{
    access::Caller,
    ledger::Waiting,
    limits::QUEUE_SHARE,
    rates::{Of, Priorities, Priority, Queue, Rates},
    time::{Instant, Span},
};
use Priority::{Batch, Interactive, Normal};

/// One provider that does one thing at once, in 100 ms or so; callers with these priorities; so much room.
fn crowd(own: &[Priority], size: usize) -> Crowd {
    let rules = vec![rule("p0", Of::Provider(0), (None, None, Some(1)))];
    let queue = Some(Queue { size, wait: Span::secs(600) });
    let own = own.iter().copied().enumerate().collect();
    let priorities = Priorities { each: None, own };
    let mut crowd = Crowd::new(plan(&[0], 10, Rates { rules, queue, priorities, ..Rates::default() }), 1);
    crowd.served = Span::millis(100);
    crowd
}

fn put(crowd: &mut Crowd, count: usize, caller: usize) {
    let arrives = Instant(1 + crowd.ones.len() as u64);
    (0..count).for_each(|_| crowd.put(Caller(Some(caller)), "p0/served", arrives));
}

#[test]
fn a_batch_does_not_hold_up_who_sits_before_it_and_has_its_share() {
    let mut crowd = crowd(&[Batch, Interactive], 200);
    put(&mut crowd, 100, 0);
    put(&mut crowd, 45, 1);
    crowd.play();
    crowd.assert_empty();
    assert_eq!(crowd.whole.len(), 145);
    let is_urgent = |index: &usize| *index >= 100;
    let last = crowd.whole.iter().rposition(is_urgent).unwrap();
    let share = usize::try_from(QUEUE_SHARE).unwrap();
    // The one that was first, 45, and one of the batch for each nine of them.
    assert_eq!(last, 45 + 45 / (share - 1) - 1, "{:?}", crowd.whole);
    let waits =
        crowd.whole[1..last].chunks(share).map(|ten| ten.iter().filter(|one| !is_urgent(one)).count());
    assert!(waits.clone().all(|batch| batch <= 1) && waits.sum::<usize>() == 4);
}

#[test]
fn a_full_queue_loses_the_batch_first() {
    let mut crowd = crowd(&[Batch, Interactive, Normal], 10);
    put(&mut crowd, 30, 0);
    put(&mut crowd, 6, 2);
    put(&mut crowd, 8, 1);
    crowd.play();
    crowd.assert_empty();
    let served = |range: std::ops::Range<usize>| crowd.whole.iter().filter(|one| range.contains(one)).count();
    assert_eq!((served(0..30), served(30..36), served(36..44)), (1, 2, 8), "{:?}", crowd.whole);
}

#[test]
fn a_request_lowers_its_own_priority_and_never_raises_it() {
    let mut crowd = crowd(&[Normal], 10);
    let at = Instant(1);
    let me = Caller(Some(0));
    crowd.put(me, "p0/served", at);
    crowd.put_saying(Some(Batch), me, "p0/served", at);
    crowd.put_saying(Some(Interactive), me, "p0/served", at);
    crowd.put(me, "p0/served", at);
    for one in 0..4 {
        crowd.step(one);
    }
    let Waiting { classes, .. } = crowd.ledger.waiting();
    assert_eq!(classes, [0, 2, 1], "interactive, normal, batch");
    crowd.play();
    crowd.assert_empty();
    assert_eq!(crowd.whole, [0, 2, 3, 1]);
}
