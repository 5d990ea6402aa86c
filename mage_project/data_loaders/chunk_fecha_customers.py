from qbo_rs.mage import chunk_fecha

chunk_fecha_customers = data_loader(chunk_fecha("customers"))
