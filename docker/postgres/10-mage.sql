-- What Mage keeps for itself: runs, triggers, secrets (encrypted).
CREATE DATABASE mage;
