from qbo_rs.mage import chunk_fecha

chunk_fecha_items = data_loader(chunk_fecha("items"))
