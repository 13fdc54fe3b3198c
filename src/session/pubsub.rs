//! Who listens to what: channels, patterns and shard channels, and messages on their way.
//!
//! Both directions are kept, so that publishing finds listeners by name and a client that leaves finds its
//! own subscriptions. A message is encoded once per protocol, whatever the number of listeners, and every
//! listener shares those bytes until they are copied into its outbox.
//!
//! Messages of a unit are collected here; the engine posts them when the unit is committed, because only
//! then is known what log position they must wait for (I2).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::{ClientId, Sessions};
use crate::glob;
use crate::resp::Reply;

/// A kind of subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    Channel,
    Pattern,
    /// A channel of SSUBSCRIBE, with a name space of its own.
    Shard,
}

/// The listeners of a name.
#[derive(Debug, Default)]
struct Listeners {
    clients: BTreeSet<ClientId>,
    /// Older names have smaller numbers: patterns are told in that order.
    age: u64,
}

/// A name that is shared by all indexes.
type Name = Arc<[u8]>;

/// All subscriptions.
#[derive(Debug, Default)]
pub struct Subscriptions {
    /// By topic: the names with their listeners. No name is without.
    names: [HashMap<Name, Listeners>; 3],
    /// Patterns, the oldest first.
    patterns: BTreeMap<u64, Name>,
    /// By client and topic: what it listens to.
    by_client: HashMap<ClientId, [BTreeSet<Name>; 3]>,
    last_age: u64,
}

/// A message that the running unit caused.
#[derive(Clone, Debug)]
pub struct Message {
    pub to: ClientId,
    pub bytes: Arc<[u8]>,
    /// It tells of data, and so waits until that is safe.
    pub waits_for_log: bool,
}

impl Subscriptions {
    /// Adds a subscription. False when the client has it already.
    fn add(&mut self, topic: Topic, id: ClientId, name: &[u8]) -> bool {
        let Some(names) = self.names.get_mut(topic as usize) else { return false };
        let name: Name = match names.get_key_value(name) {
            Some((known, _)) => Arc::clone(known),
            None => Arc::from(name),
        };
        let listeners = names.entry(Arc::clone(&name)).or_insert_with(|| {
            self.last_age += 1;
            if topic == Topic::Pattern {
                self.patterns.insert(self.last_age, Arc::clone(&name));
            }
            Listeners { clients: BTreeSet::new(), age: self.last_age }
        });
        listeners.clients.insert(id);
        let own = self.by_client.entry(id).or_default();
        own.get_mut(topic as usize).is_some_and(|own| own.insert(name))
    }

    /// Ends a subscription. False when there was none.
    fn remove(&mut self, topic: Topic, id: ClientId, name: &[u8]) -> bool {
        let Some(own) = self.by_client.get_mut(&id) else { return false };
        if !own.get_mut(topic as usize).is_some_and(|own| own.remove(name)) {
            return false;
        }
        if own.iter().all(BTreeSet::is_empty) {
            self.by_client.remove(&id);
        }
        let Some(names) = self.names.get_mut(topic as usize) else { return false };
        if let Some(listeners) = names.get_mut(name) {
            listeners.clients.remove(&id);
            if listeners.clients.is_empty() {
                if topic == Topic::Pattern {
                    self.patterns.remove(&listeners.age);
                }
                names.remove(name);
            }
        }
        true
    }

    /// What a client listens to, in order.
    pub fn of_client(&self, topic: Topic, id: ClientId) -> Vec<Vec<u8>> {
        let own = self.by_client.get(&id).and_then(|own| own.get(topic as usize));
        own.into_iter().flatten().map(|name| name.to_vec()).collect()
    }

    /// How many names of a topic have listeners.
    pub fn count(&self, topic: Topic) -> usize {
        self.names.get(topic as usize).map_or(0, HashMap::len)
    }

    /// How many clients listen to a name.
    pub fn listener_count(&self, topic: Topic, name: &[u8]) -> usize {
        self.listeners(topic, name).map_or(0, |listeners| listeners.clients.len())
    }

    /// The names of a topic that have listeners.
    pub fn names(&self, topic: Topic) -> impl Iterator<Item = &[u8]> {
        self.names.get(topic as usize).into_iter().flatten().map(|(name, _)| &**name)
    }

    /// How many clients have any subscription.
    pub fn client_count(&self) -> usize {
        self.by_client.len()
    }

    fn listeners(&self, topic: Topic, name: &[u8]) -> Option<&Listeners> {
        self.names.get(topic as usize)?.get(name)
    }
}

impl Sessions {
    /// Subscribes a client. Nothing changes if it is subscribed already.
    pub fn subscribe(&mut self, topic: Topic, id: ClientId, name: &[u8]) {
        if self.clients.contains(id) && self.subscriptions.add(topic, id, name) {
            self.count_subscription(topic, id, name, true);
        }
    }

    /// Ends a subscription of a client, if there is one.
    pub fn unsubscribe(&mut self, topic: Topic, id: ClientId, name: &[u8]) {
        if self.subscriptions.remove(topic, id, name) {
            self.count_subscription(topic, id, name, false);
        }
    }

    /// Ends all subscriptions of a client, and its being a monitor.
    pub fn stop_listening(&mut self, id: ClientId) {
        for topic in [Topic::Channel, Topic::Pattern, Topic::Shard] {
            for name in self.subscriptions.of_client(topic, id) {
                self.unsubscribe(topic, id, &name);
            }
        }
        if self.monitors.remove(&id)
            && let Some(client) = self.client_mut(id)
        {
            client.flags.monitor = false;
        }
    }

    fn count_subscription(&mut self, topic: Topic, id: ClientId, name: &[u8], added: bool) {
        // What the name costs in the client's index and in the listeners' index, of patterns in the list of all too.
        let bytes = if topic == Topic::Pattern { 2 * name.len() + 240 } else { name.len() + 64 };
        let Some(client) = self.client_mut(id) else { return };
        let count = match topic {
            Topic::Channel => &mut client.subscriptions,
            Topic::Pattern => &mut client.pattern_subscriptions,
            Topic::Shard => &mut client.shard_subscriptions,
        };
        if added {
            *count += 1;
            client.subscription_bytes += bytes;
        } else {
            *count = count.saturating_sub(1);
            client.subscription_bytes = client.subscription_bytes.saturating_sub(bytes);
        }
    }

    /// Sends a message to whoever listens to a channel or, unless it is a shard channel, to a pattern
    /// that fits it. Returns how many times it is sent.
    pub fn publish(&mut self, topic: Topic, channel: &[u8], message: &[u8]) -> usize {
        let mut sent = 0;
        let kind: &[u8] = if topic == Topic::Shard { b"smessage" } else { b"message" };
        if let Some(listeners) = self.subscriptions.listeners(topic, channel) {
            let parts = [kind, channel, message];
            let mut envelope = Envelope::new(&parts);
            for id in &listeners.clients {
                let Some(client) = self.clients.get(*id) else { continue };
                self.messages.push(envelope.addressed(*id, client.resp3));
                sent += 1;
            }
        }
        if topic == Topic::Shard {
            return sent;
        }
        for pattern in self.subscriptions.patterns.values() {
            if !glob::matches(pattern, channel, false) {
                continue;
            }
            let Some(listeners) = self.subscriptions.listeners(Topic::Pattern, pattern) else {
                continue;
            };
            let parts = [b"pmessage".as_slice(), pattern, channel, message];
            let mut envelope = Envelope::new(&parts);
            for id in &listeners.clients {
                let Some(client) = self.clients.get(*id) else { continue };
                self.messages.push(envelope.addressed(*id, client.resp3));
                sent += 1;
            }
        }
        sent
    }

    /// Whether a message to a channel or a pattern could reach anybody.
    pub fn has_listeners(&self) -> bool {
        self.subscriptions.count(Topic::Channel) + self.subscriptions.count(Topic::Pattern) > 0
    }

    /// Makes a client see everybody's commands. False when it does already.
    pub fn monitor(&mut self, id: ClientId) -> bool {
        let Some(client) = self.client_mut(id) else { return false };
        client.flags.monitor = true;
        self.monitors.insert(id)
    }

    /// Whether anybody sees all commands.
    pub fn has_monitors(&self) -> bool {
        !self.monitors.is_empty()
    }

    /// Shows a line to all monitors. It tells of a request, not of data: it does not wait for the log.
    pub fn tell_monitors(&mut self, line: &[u8]) {
        let bytes: Arc<[u8]> = Arc::from(line);
        let told = self.monitors.iter().map(|to| Message {
            to: *to,
            bytes: Arc::clone(&bytes),
            waits_for_log: false,
        });
        self.messages.extend(told);
    }
}

/// A message in the protocols that somebody needs it in.
struct Envelope<'m> {
    parts: &'m [&'m [u8]],
    encoded: [Option<Arc<[u8]>>; 2],
}

impl<'m> Envelope<'m> {
    fn new(parts: &'m [&'m [u8]]) -> Self {
        Self { parts, encoded: [None, None] }
    }

    fn addressed(&mut self, to: ClientId, resp3: bool) -> Message {
        let [resp2_bytes, resp3_bytes] = &mut self.encoded;
        let encoded = if resp3 { resp3_bytes } else { resp2_bytes };
        let bytes = encoded.get_or_insert_with(|| {
            let mut reply = Reply::new(resp3);
            reply.push(self.parts.len());
            for part in self.parts {
                reply.bulk(part);
            }
            Arc::from(reply.buffer)
        });
        Message { to, bytes: Arc::clone(bytes), waits_for_log: true }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Client;
    use super::*;

    fn sent(sessions: &mut Sessions) -> Vec<(u64, String)> {
        let text = |message: Message| {
            (message.to.0, String::from_utf8_lossy(&message.bytes).replace("\r\n", " "))
        };
        std::mem::take(&mut sessions.messages).into_iter().map(text).collect()
    }

    #[test]
    fn a_message_reaches_listeners_once_per_subscription() {
        let mut sessions = Sessions::default();
        let mut add = |resp3| {
            let mut client = Client::new(String::new(), String::new(), 0);
            client.resp3 = resp3;
            sessions.add(client)
        };
        let (first, second) = (add(false), add(true));
        sessions.subscribe(Topic::Channel, first, b"news");
        sessions.subscribe(Topic::Channel, first, b"news");
        sessions.subscribe(Topic::Pattern, second, b"n*");
        sessions.subscribe(Topic::Pattern, second, b"*s");
        assert_eq!(sessions.client(first).unwrap().subscriptions, 1);
        assert_eq!(sessions.publish(Topic::Channel, b"news", b"hi"), 3);
        assert_eq!(
            sent(&mut sessions),
            [
                (1, "*3 $7 message $4 news $2 hi ".to_owned()),
                (2, ">4 $8 pmessage $2 n* $4 news $2 hi ".to_owned()),
                (2, ">4 $8 pmessage $2 *s $4 news $2 hi ".to_owned()),
            ]
        );
        assert_eq!(sessions.publish(Topic::Shard, b"news", b"hi"), 0);
        sessions.unsubscribe(Topic::Pattern, second, b"n*");
        sessions.remove(first);
        assert_eq!(sessions.publish(Topic::Channel, b"news", b"hi"), 1);
        assert_eq!(sessions.subscriptions.count(Topic::Channel), 0);
        sessions.stop_listening(second);
        assert_eq!(sessions.client(second).unwrap().subscription_bytes, 0);
        assert!(!sessions.has_listeners() && sessions.subscriptions.client_count() == 0);
    }
}
