<div class="generic-content-wrapper">
	<div class="section-title-wrapper"><h2>{{$title}}</h2></div>
	<div class="section-content-wrapper"><p role="status">{{$message|escape}}</p></div>
</div>
