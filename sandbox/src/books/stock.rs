//! The cost of stock: first in, first out, which is QuickBooks's method.

use std::collections::{HashMap, VecDeque};

use super::decimal::Decimal;

/// The rest of one purchase.
#[derive(Debug)]
struct Layer {
    quantity: Decimal,
    cost: i64,
}

/// The stock of all items, as it is at one transaction after another.
#[derive(Debug, Default)]
pub(super) struct Stock {
    layers: HashMap<String, VecDeque<Layer>>,
    /// Cost and quantity by which the last stock of an item came in.
    last: HashMap<String, (i64, Decimal)>,
}

impl Stock {
    pub(super) fn receive(&mut self, item: &str, quantity: Decimal, cost: i64) {
        let layer = Layer { quantity, cost };
        self.layers
            .entry(item.to_owned())
            .or_default()
            .push_back(layer);
        self.last.insert(item.to_owned(), (cost, quantity));
    }

    /// Takes back what was sold, at the last cost. Returns that cost.
    pub(super) fn take_back(&mut self, item: &str, quantity: Decimal) -> i64 {
        let cost = self.last_cost(item, quantity);
        let layer = Layer { quantity, cost };
        self.layers
            .entry(item.to_owned())
            .or_default()
            .push_front(layer);
        cost
    }

    /// Lets stock go. Returns its cost; what was never bought has the last cost.
    pub(super) fn relieve(&mut self, item: &str, quantity: Decimal) -> i64 {
        let (mut left, mut cost) = (quantity, 0);
        let layers = self.layers.entry(item.to_owned()).or_default();
        while left > Decimal::ZERO {
            let Some(layer) = layers.front_mut() else {
                return cost + self.last_cost(item, left);
            };
            if layer.quantity <= left {
                left = left.minus(layer.quantity);
                cost += layer.cost;
                layers.pop_front();
            } else {
                let part = left.share_of(layer.cost, layer.quantity);
                layer.quantity = layer.quantity.minus(left);
                layer.cost -= part;
                return cost + part;
            }
        }
        cost
    }

    fn last_cost(&self, item: &str, quantity: Decimal) -> i64 {
        let last = self.last.get(item);
        last.map_or(0, |(cost, of)| quantity.share_of(*cost, *of))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_stock_goes_first_and_returns_at_the_last_cost() {
        let (mut stock, units) = (Stock::default(), Decimal::from_units);
        stock.receive("5", units(10), 1000);
        stock.receive("5", units(10), 2000);
        assert_eq!(stock.relieve("5", units(4)), 400);
        assert_eq!(stock.relieve("5", units(8)), 600 + 400);
        assert_eq!(stock.take_back("5", units(1)), 200);
        assert_eq!(stock.relieve("5", units(10)), 200 + 1600 + 200);
        assert_eq!(stock.relieve("6", units(1)), 0);
    }
}
