from qbo_rs.mage import load_postgres

load_postgres_items = data_exporter(load_postgres("items"))
