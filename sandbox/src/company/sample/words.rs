//! Names of people, trades, goods and cities. Some hold characters that break careless clients.

use crate::entities::Words;

const GIVEN: [&str; 16] = [
    "Ana", "Björn", "Chioma", "D'Arcy", "Elif", "Farid", "Grace", "Hiro", "Inés", "João", "Keiko",
    "Luis", "Maeve", "Nuria", "Oleg", "Priya",
];
const FAMILY: [&str; 16] = [
    "Abebe",
    "Borja",
    "Castillo",
    "Dvořák",
    "Espinoza",
    "Fischer",
    "Guerrero",
    "Haddad",
    "Ivanova",
    "Jaramillo",
    "Kim",
    "Lindqvist",
    "Mendoza",
    "Nakamura",
    "O'Neill",
    "Paredes",
];
const TRADE: [&str; 16] = [
    "Bakery",
    "Carpentry & Sons",
    "Dental Care",
    "Electrics",
    "Flower's Corner",
    "Garage",
    "Hardware",
    "Imports, Inc.",
    "Jewellers",
    "Kitchens",
    "Landscaping",
    "Motors",
    "Nursery",
    "Optics",
    "Printing 🖨",
    "Roofing \"A1\"",
];
const GOODS: [&str; 12] = [
    "Trimming",
    "Gravel 3/4\"",
    "Pump & Hose",
    "Soil",
    "Sod",
    "Fountain",
    "Design",
    "Maintenance",
    "Lighting",
    "Rocks",
    "Café table",
    "Installation",
];
const CITIES: [&str; 6] = [
    "Quito",
    "Guayaquil",
    "Bayshore",
    "Tucson",
    "St. John's",
    "Half Moon Bay",
];

/// Returns the words of a kind.
pub(super) fn of_kind(kind: Words) -> &'static [&'static str] {
    match kind {
        Words::Given => &GIVEN,
        Words::Family => &FAMILY,
        Words::Trade => &TRADE,
        Words::Goods => &GOODS,
        Words::City => &CITIES,
    }
}
