% rebase("layout.tpl", title=title, tab="")
<h1>{{title}}</h1>
<p>{{text}}</p>
