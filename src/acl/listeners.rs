//! Clients that listen to channels which their user may no longer hear: they are disconnected.

use super::User;
use super::selector::Selector;
use crate::glob;
use crate::session::pubsub::Topic;
use crate::session::{ClientId, Sessions, UserId};

/// Closes the connections of user `id` that listen to what it could hear as `old` and cannot as `new`.
pub fn disconnect_listeners(
    sessions: &mut Sessions,
    id: UserId,
    (old, new): (&User, &User),
    asked_by: ClientId,
) {
    if sessions.subscriptions.client_count() == 0 {
        return;
    }
    let Some(allowed) = patterns(new) else { return };
    if patterns(old).is_some_and(|old| old.iter().all(|pattern| allowed.contains(pattern))) {
        return;
    }
    let of_user = sessions.iter().filter(|client| {
        client.user.as_ref().map_or(UserId::DEFAULT, |user| user.id) == id && !client.flags.internal
    });
    let too_much = |client: ClientId| {
        let hears = |topic: Topic, name: &[u8]| {
            allowed.iter().any(|pattern| match topic {
                Topic::Pattern => *pattern == name,
                Topic::Channel | Topic::Shard => glob::matches(pattern, name, false),
            })
        };
        [Topic::Pattern, Topic::Channel, Topic::Shard].into_iter().any(|topic| {
            let names = sessions.subscriptions.of_client(topic, client);
            names.iter().any(|name| !hears(topic, name))
        })
    };
    let victims: Vec<ClientId> =
        of_user.map(|client| client.id).filter(|client| too_much(*client)).collect();
    for client in victims {
        sessions.disconnect(client, asked_by);
    }
}

/// The channels of all selectors together; `None`: all channels.
fn patterns(user: &User) -> Option<Vec<&[u8]>> {
    let mut all = Vec::new();
    for patterns in user.selectors().iter().map(Selector::channel_patterns) {
        all.extend(patterns?.iter().map(Vec::as_slice));
    }
    Some(all)
}
