from tests.conftest import scene
def test_x(make_raster, make_layer):
    l=make_layer(make_raster(values=scene()))
    assert l.bake
def test_store(store):
    keys={f"a/{i}.png" for i in range(1001)}
    for k in keys: store.put(k,b"",content_type="image/png")
    assert {e.key for e in store.list("a/")}==keys
    assert store.existing(["a/5.png","a/x.png","a/1000.png","b/1.png"])=={"a/5.png","a/1000.png"}
