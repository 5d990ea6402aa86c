//! The places of connections: so many in all, and so many for each address. Nobody waits for a
//! place. If all are taken, a connection that has proven nothing gives way to the new one, so that
//! idle, slow and hostile clients lock out nobody.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Connections of one address, unless the options say otherwise. A caller needs a few, and Intuit
/// sends its webhooks over a few.
pub(super) const PER_ADDRESS: usize = 128;

/// The proofs of a connection.
mod standing {
    /// No request of it had the API key or a valid signature.
    pub(super) const UNPROVEN: u8 = 0;
    /// It had one, and waits for its next request.
    pub(super) const IDLE: u8 = 1;
    /// It had one that is being answered.
    pub(super) const BUSY: u8 = 2;
    /// The answer is complete, but not all of it is written.
    pub(super) const WRITING: u8 = 3;
}

/// One connection's place.
#[derive(Debug)]
pub(super) struct Place {
    network: IpAddr,
    /// Places of the same network, this one included.
    neighbours: Arc<AtomicUsize>,
    standing: AtomicU8,
    taken_away: Notify,
}

impl Place {
    /// Protects the connection while a request is answered that has proven who it is from, and until
    /// the answer is written.
    pub(super) fn protect(self: &Arc<Self>) -> Protected {
        self.standing.store(standing::BUSY, Ordering::Relaxed);
        Protected(self.clone())
    }

    /// Records that all of the connection's answers so far are written.
    pub(super) fn written(&self) {
        let (from, to, order) = (standing::WRITING, standing::IDLE, Ordering::Relaxed);
        // Another standing means that the answer is not complete, or that there is none.
        let _ = self.standing.compare_exchange(from, to, order, order);
    }

    /// Completes when another connection needs the place.
    pub(super) async fn taken_away(&self) {
        self.taken_away.notified().await;
    }

    fn standing(&self) -> u8 {
        self.standing.load(Ordering::Relaxed)
    }
}

/// The protection of a place, until it is dropped and [`Place::written`] is called.
#[derive(Debug)]
pub(super) struct Protected(Arc<Place>);

impl Drop for Protected {
    fn drop(&mut self) {
        self.0.standing.store(standing::WRITING, Ordering::Relaxed);
    }
}

/// All places.
#[derive(Debug)]
pub(super) struct Places {
    max: usize,
    /// The limit of an address; `None` means [`PER_ADDRESS`], and no limit for this machine, where a
    /// proxy may run.
    per_address: Option<usize>,
    table: Mutex<Table>,
}

/// The places that are taken, in the order in which they were taken.
#[derive(Debug, Default)]
struct Table {
    next: u64,
    taken: BTreeMap<u64, Arc<Place>>,
    networks: HashMap<IpAddr, Arc<AtomicUsize>>,
}

/// A place that is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    places: Arc<Places>,
    number: u64,
    /// The place.
    pub(super) place: Arc<Place>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.places.table.lock().free(self.number);
    }
}

/// The reception of a new connection.
#[derive(Debug)]
pub(super) struct Arrival {
    /// Its place; `None` if every other one is protected.
    pub(super) seat: Option<Seat>,
    /// Another connection had to give way.
    pub(super) displaced: bool,
}

impl Places {
    /// Creates free places.
    pub(super) fn new(max: usize, per_address: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            max: max.max(1),
            per_address,
            table: Mutex::default(),
        })
    }

    /// Gives a new connection a place, if need be that of another connection: of the same address
    /// if that has its share, else of the address that has most.
    pub(super) fn arrive(self: &Arc<Self>, address: IpAddr) -> Arrival {
        let network = network_of(address);
        let mut table = self.table.lock();
        let own = table.count(network);
        let displaced = if own >= self.share_of(address) {
            table.displace(Some(network))
        } else if table.taken.len() >= self.max {
            table.displace(None)
        } else {
            None
        };
        let has_room = own < self.share_of(address) && table.taken.len() < self.max;
        let seat = (displaced.is_some() || has_room).then(|| {
            let (number, place) = table.take(network);
            Seat {
                places: self.clone(),
                number,
                place,
            }
        });
        Arrival {
            seat,
            displaced: displaced.is_some(),
        }
    }

    /// Ends a connection to make room. Returns false if all are protected.
    pub(super) fn make_room(&self) -> bool {
        self.table.lock().displace(None).is_some()
    }

    fn share_of(&self, address: IpAddr) -> usize {
        match self.per_address {
            Some(share) => share,
            None if address.to_canonical().is_loopback() => usize::MAX,
            None => PER_ADDRESS,
        }
    }
}

impl Table {
    fn count(&self, network: IpAddr) -> usize {
        let count = self.networks.get(&network);
        count.map_or(0, |count| count.load(Ordering::Relaxed))
    }

    fn take(&mut self, network: IpAddr) -> (u64, Arc<Place>) {
        let neighbours = self.networks.entry(network).or_default().clone();
        neighbours.fetch_add(1, Ordering::Relaxed);
        let place = Arc::new(Place {
            network,
            neighbours,
            standing: AtomicU8::new(standing::UNPROVEN),
            taken_away: Notify::new(),
        });
        let number = self.next;
        self.next += 1;
        self.taken.insert(number, place.clone());
        (number, place)
    }

    /// Takes away the place of a connection, of one network or of all.
    fn displace(&mut self, network: Option<IpAddr>) -> Option<u64> {
        let number = self
            .oldest(network, standing::UNPROVEN)
            .or_else(|| self.oldest(network, standing::IDLE))?;
        if let Some(place) = self.free(number) {
            place.taken_away.notify_one();
        }
        Some(number)
    }

    /// Returns the connection that is open longest, of the network that has most.
    fn oldest(&self, network: Option<IpAddr>, standing: u8) -> Option<u64> {
        let candidates = self.taken.iter().filter(|(_, place)| {
            place.standing() == standing && network.is_none_or(|network| network == place.network)
        });
        let weight = |place: &Place| place.neighbours.load(Ordering::Relaxed);
        let chosen = candidates.min_by_key(|(number, place)| (Reverse(weight(place)), **number));
        chosen.map(|(number, _)| *number)
    }

    fn free(&mut self, number: u64) -> Option<Arc<Place>> {
        let place = self.taken.remove(&number)?;
        if place.neighbours.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.networks.remove(&place.network);
        }
        Some(place)
    }
}

/// Returns what counts as one address: of IPv6 the first 64 bits, because a host can use all
/// addresses that begin with them.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX)))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn seat(places: &Arc<Places>, from: &str) -> Seat {
        places.arrive(address(from)).seat.unwrap()
    }

    fn has_lost(seat: &Seat) -> bool {
        seat.place.taken_away().now_or_never().is_some()
    }

    #[test]
    fn the_oldest_of_the_address_that_has_most_gives_way() {
        let places = Places::new(4, None);
        let lone = seat(&places, "192.0.2.1");
        let many: Vec<Seat> = (0..3).map(|_| seat(&places, "192.0.2.2")).collect();
        let newcomer = places.arrive(address("192.0.2.3"));
        assert!(newcomer.displaced && newcomer.seat.is_some());
        let lost: Vec<bool> = many.iter().map(has_lost).collect();
        assert_eq!(lost, [true, false, false]);
        assert!(!has_lost(&lone));
    }

    #[test]
    fn who_has_proven_something_goes_last_and_never_while_being_answered() {
        let places = Places::new(3, None);
        let busy = seat(&places, "192.0.2.1");
        let idle = seat(&places, "192.0.2.1");
        let unproven = seat(&places, "192.0.2.1");
        let protection = busy.place.protect();
        drop(idle.place.protect());
        idle.place.written();
        let first = seat(&places, "192.0.2.2");
        assert!(has_lost(&unproven) && !has_lost(&idle));
        let _held = first.place.protect();
        let second = seat(&places, "192.0.2.2");
        assert!(has_lost(&idle) && !has_lost(&busy));
        let _held_too = second.place.protect();
        let refused = places.arrive(address("192.0.2.3"));
        assert!(refused.seat.is_none() && !refused.displaced);
        // Nothing is written before the answer is complete.
        busy.place.written();
        drop(protection);
        assert!(!places.make_room());
        busy.place.written();
        assert!(places.make_room());
        assert!(has_lost(&busy) && !places.make_room());
    }

    #[test]
    fn an_address_gets_no_more_than_its_share() {
        let places = Places::new(100, Some(2));
        let first = seat(&places, "2001:db8::1");
        let other = seat(&places, "2001:db8:0:1::1");
        let _second = seat(&places, "2001:db8::2");
        let _third = seat(&places, "2001:db8::ffff:3");
        assert!(has_lost(&first) && !has_lost(&other));
        let protected = seat(&places, "127.0.0.1");
        let also = seat(&places, "::ffff:127.0.0.1");
        let (_one, _two) = (protected.place.protect(), also.place.protect());
        assert!(places.arrive(address("127.0.0.1")).seat.is_none());
    }

    #[test]
    fn this_machine_has_no_share_by_default_and_places_are_given_back() {
        let places = Places::new(PER_ADDRESS + 2, None);
        let own: Vec<Seat> = (0..=PER_ADDRESS).map(|_| seat(&places, "::1")).collect();
        assert!(!own.iter().any(has_lost));
        drop(own);
        let others: Vec<Seat> = (0..PER_ADDRESS)
            .map(|_| seat(&places, "192.0.2.1"))
            .collect();
        assert!(places.arrive(address("192.0.2.1")).displaced);
        drop(others);
        assert!(places.table.lock().taken.is_empty());
        assert!(places.table.lock().networks.is_empty());
    }
}
