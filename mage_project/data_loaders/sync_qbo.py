from qbo_rs.mage import sync_qbo

sync_qbo = data_loader(sync_qbo())
