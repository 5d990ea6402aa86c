from qbo_rs.mage import connect_qbo

connect_qbo = data_loader(connect_qbo())
