-- The database of Mage itself: runs, triggers, secrets (encrypted).
CREATE DATABASE mage;
